/** Messages of gRPC in a body: a flag, four bytes of length, and the message (gRPC over HTTP2, Length-Prefixed-Message). */
import { GatewayError } from '../policies/errors.ts';

/** In gRPC-Web the flag of the frame that holds the trailers. */
export const trailerFlag = 0x80;
const headBytes = 5;

/** One message, not compressed. */
export function frameMessage(message: Buffer, flag = 0): Buffer {
  const head = Buffer.alloc(headBytes);
  head[0] = flag;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Follows a body without holding it, and throws PAYLOAD_TOO_LARGE where a message is larger than may be. */
export class FrameGuard {
  readonly #maxBytes: number;
  readonly #head = Buffer.alloc(headBytes);
  #headLength = 0;
  #left = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  pass(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, chunk.length - at);
        this.#left -= passed;
        at += passed;
        continue;
      }
      const taken = Math.min(headBytes - this.#headLength, chunk.length - at);
      chunk.copy(this.#head, this.#headLength, at, at + taken);
      this.#headLength += taken;
      at += taken;
      if (this.#headLength < headBytes) return;
      this.#headLength = 0;
      this.#left = this.#head.readUInt32BE(1);
      if (this.#left > this.#maxBytes) throw tooLarge(this.#maxBytes);
    }
  }
}

/** Takes a body apart. */
export class FrameReader {
  readonly #maxBytes: number;
  #rest: Buffer[] = [];
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a message has begun and not ended. */
  get isInside(): boolean {
    return this.#length > 0;
  }

  /** The messages that are whole now. Throws for one that is too large, or compressed. */
  push(chunk: Buffer): Buffer[] {
    this.#rest.push(chunk);
    this.#length += chunk.length;
    const messages: Buffer[] = [];
    while (this.#length >= headBytes) {
      const head = this.#peek(headBytes);
      if (head[0] !== 0)
        throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'The service compressed what was not to be');
      const size = head.readUInt32BE(1);
      if (size > this.#maxBytes) {
        throw new GatewayError(
          'DOWNSTREAM_SERVICE_ERROR',
          `A message of the service has more than ${this.#maxBytes} bytes`,
        );
      }
      if (this.#length < headBytes + size) break;
      messages.push(this.#peek(headBytes + size).subarray(headBytes));
      this.#drop(headBytes + size);
    }
    return messages;
  }

  #peek(length: number): Buffer {
    if ((this.#rest[0]?.length ?? 0) < length) this.#rest = [Buffer.concat(this.#rest)];
    return (this.#rest[0] ?? Buffer.alloc(0)).subarray(0, length);
  }

  #drop(length: number): void {
    const [first, ...others] = this.#rest;
    this.#length -= length;
    const left = (first ?? Buffer.alloc(0)).subarray(length);
    this.#rest = left.length > 0 ? [left, ...others] : others;
  }
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError('PAYLOAD_TOO_LARGE', `A message is larger than ${maxBytes} bytes`);
}
