/** HTTP/2 as frames (RFC 9113 section 4): a client that sends what no library would. */
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const endStream = 1;
export const endHeaders = 4;
const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const empty = Buffer.alloc(0);

/** One frame. */
export function buildFrame(
  type: keyof typeof frameTypes,
  stream: number,
  payload: Buffer = empty,
  flags = 0,
): Buffer<ArrayBuffer> {
  const frame = Buffer.alloc(9 + payload.length);
  frame.writeUIntBE(payload.length, 0, 3);
  frame.writeUInt8(frameTypes[type], 3);
  frame.writeUInt8(flags, 4);
  frame.writeUInt32BE(stream, 5);
  payload.copy(frame, 9);
  return frame;
}

/** An unsigned number of 32 bits. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A field that is not put into the table, with its name and value as they are (RFC 7541 section 6.2.2). */
export function literalField(name: string, value: string, intoTable = false): Buffer {
  return Buffer.concat([Buffer.from([intoTable ? 0x40 : 0]), literal(name), literal(value)]);
}

/** The fields of a request's target: `http`, authority `a`. None of them is put into the table. */
export function requestFields(path: string, method: 'GET' | 'POST' = 'GET'): Buffer {
  const target = Buffer.concat([Buffer.from([0x04]), literal(path)]);
  return Buffer.concat([Buffer.from([method === 'GET' ? 0x82 : 0x83, 0x86]), target, Buffer.from([0x01, 1, 0x61])]);
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  // RFC 7541 section 5.1: what does not fit into seven bits follows in sevens.
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export interface RawHttp2Client {
  readonly socket: Socket;
  /** What came, if it was read; of DATA the length alone. */
  readonly received: readonly ReceivedFrame[];
  readonly dataBytes: () => number;
  readonly isClosed: () => boolean;
  /** The code of the GOAWAY that came, or undefined. */
  readonly goawayCode: () => number | undefined;
  /** Sends frames until the connection is closed, or all are sent; waits for the socket to drain. Returns how many went. */
  flood(count: number, build: (at: number) => Buffer, perWrite?: number): Promise<number>;
}

export interface RawHttp2Options {
  /** Pairs of name and value. */
  readonly settings?: readonly (readonly [id: number, value: number])[];
  /** Whether it reads what comes. @default true */
  readonly reads?: boolean;
}

/** Connects by prior knowledge; the connection is over when the test ends. */
export async function connectRaw(
  t: TestContext,
  url: string,
  { settings = [], reads = true }: RawHttp2Options = {},
): Promise<RawHttp2Client> {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  const received: ReceivedFrame[] = [];
  let dataBytes = 0;
  let closed = false;
  socket.on('error', () => {});
  socket.once('close', () => {
    closed = true;
  });
  t.after(() => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  if (reads) {
    let held: Buffer = empty;
    socket.on('data', (chunk) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= 9 && held.length >= 9 + held.readUIntBE(0, 3)) {
        const length = held.readUIntBE(0, 3);
        const type = held.readUInt8(3);
        if (type === frameTypes.data) dataBytes += length;
        const payload = type === frameTypes.data ? empty : Buffer.from(held.subarray(9, 9 + length));
        received.push({ type, flags: held.readUInt8(4), stream: held.readUInt32BE(5) & 0x7fffffff, payload });
        held = held.subarray(9 + length);
      }
    });
  } else socket.pause();
  const chosen = settings.flatMap(([id, value]) => [Buffer.from([0, id]), uint32(value)]);
  socket.write(preface);
  socket.write(buildFrame('settings', 0, Buffer.concat(chosen)));
  return {
    socket,
    received,
    dataBytes: () => dataBytes,
    isClosed: () => closed,
    goawayCode: () => received.find(({ type }) => type === frameTypes.goaway)?.payload.readUInt32BE(4),
    async flood(count, build, perWrite = 100) {
      let sent = 0;
      while (sent < count && !closed && socket.writable) {
        const frames = Array.from({ length: Math.min(perWrite, count - sent) }, (_, i) => build(sent + i));
        sent += frames.length;
        const hasRoom = socket.write(Buffer.concat(frames));
        await (hasRoom ? new Promise((resolve) => setImmediate(resolve)) : drained(socket));
      }
      return sent;
    },
  };
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      clearTimeout(timer);
      socket.off('drain', go).off('close', go);
      resolve();
    };
    // Whoever does not read any more may never say so.
    const timer = setTimeout(go, 1_000);
    socket.on('drain', go).on('close', go);
  });
}
