/** HTTP as bytes: a client that sends what it likes, and a service that answers what it likes. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface RawAnswer {
  readonly text: string;
  /** Status codes of all heads, in order. */
  readonly statuses: readonly number[];
  /** Whether the gateway closed the connection. */
  readonly closed: boolean;
}

export interface SendOptions {
  /** Ends our side after the bytes (FIN). */
  readonly end?: boolean;
  /** Resolves as soon as the text holds this; otherwise when the connection is closed, or silent for a while. */
  readonly until?: string | RegExp;
  /** @default 400 */
  readonly silenceMs?: number;
}

/** Sends bytes over a connection of their own. */
export function sendRaw(
  url: string,
  bytes: string | Buffer | readonly string[],
  options: SendOptions = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(Number(port), hostname);
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
      resolve({ text, statuses, closed });
    };
    const { until, silenceMs = 400 } = options;
    const timer = setTimeout(() => finish(false), until === undefined ? silenceMs : 10_000);
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      if (until === undefined) timer.refresh();
      else if (typeof until === 'string' ? text.includes(until) : until.test(text)) finish(false);
    });
    socket.on('error', () => {});
    socket.on('close', () => finish(true));
    const pieces = typeof bytes === 'string' || Buffer.isBuffer(bytes) ? [bytes] : bytes;
    for (const piece of pieces) socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
    if (options.end === true) socket.end();
  });
}

export interface RawService {
  readonly url: string;
  /** All that arrived, by connection. */
  readonly received: string[];
  readonly sockets: ReadonlySet<Socket>;
}

/** A service that answers each piece that arrives by a function of all that its connection has sent. */
export async function startRawService(
  t: Pick<TestContext, 'after'>,
  answer: (socket: Socket, text: string) => void,
): Promise<RawService> {
  const received: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const index = received.push('') - 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    socket.on('data', (piece) => {
      received[index] += piece.toString('latin1');
      answer(socket, received[index] ?? '');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received, sockets };
}
