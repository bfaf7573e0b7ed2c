/**
 * Where the frames of a WebSocket begin and end (RFC 6455 section 5.2), without looking into them: enough to say goodbye
 * between two of them.
 */
import { randomBytes } from 'node:crypto';

const opcodeClose = 8;

/** Follows one direction of a WebSocket. Control frames may stand between the fragments of a message, so frames will do. */
export class FrameTracker {
  /** A whole Close frame has passed. */
  closed = false;
  /** Bytes of the head of a frame that have passed, and all that it has as far as is known. */
  #passed = 0;
  #headLength = 2;
  #payloadEnd = 0;
  #opcode = 0;
  #payloadLength = 0;
  /** Bytes of the payload that are still to come. */
  #left = 0;

  /** Whether what has passed ends with a frame. */
  get isBetween(): boolean {
    return this.#passed === 0 && this.#left === 0;
  }

  /** Lets a piece pass; with `stops` only up to the first end of a frame. Returns how many of its bytes have passed. */
  advance(piece: Buffer, stops = false): number {
    let at = 0;
    while (at < piece.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, piece.length - at);
        this.#left -= step;
        at += step;
      } else {
        this.#passHead(piece[at] ?? 0);
        at++;
      }
      if (!this.isBetween) continue;
      if (this.#opcode === opcodeClose) this.closed = true;
      if (stops) return at;
    }
    return at;
  }

  #passHead(byte: number): void {
    const index = this.#passed++;
    if (index === 0) this.#opcode = byte & 15;
    else if (index === 1) this.#readLength(byte);
    else if (index < this.#payloadEnd) this.#payloadLength = this.#payloadLength * 256 + byte;
    if (index < 1 || this.#passed < this.#headLength) return;
    this.#passed = 0;
    this.#left = this.#payloadLength;
  }

  #readLength(byte: number): void {
    const short = byte & 127;
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
    this.#payloadLength = extended === 0 ? short : 0;
    this.#payloadEnd = 2 + extended;
    this.#headLength = this.#payloadEnd + ((byte & 128) === 0 ? 0 : 4);
  }
}

/** A Close frame with a status alone. What goes to a server is masked (section 5.3). */
export function buildCloseFrame(status: number, masked: boolean): Buffer {
  const payload = Buffer.from([status >> 8, status & 255]);
  if (!masked) return Buffer.concat([Buffer.from([0x80 | opcodeClose, payload.length]), payload]);
  const mask = randomBytes(4);
  const hidden = payload.map((byte, index) => byte ^ (mask[index] ?? 0));
  return Buffer.concat([Buffer.from([0x80 | opcodeClose, 0x80 | payload.length]), mask, hidden]);
}
