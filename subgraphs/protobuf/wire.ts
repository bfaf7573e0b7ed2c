/** The wire format of protocol buffers: varints, fixed numbers and bytes with lengths (protobuf.dev, Encoding). */

/** Bytes that are no message of the type that was expected. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, group: 3, groupEnd: 4, fixed32: 5 } as const;

/** Reads one message. Its length is that of the bytes. */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Number of a field, and how its value is written. */
  tag(): { readonly field: number; readonly type: number } {
    const tag = this.uint32();
    const field = tag >>> 3;
    if (field === 0) throw new WireError('a field has the number 0');
    return { field, type: tag & 7 };
  }

  /** The low 32 bits of a varint. */
  uint32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new WireError('a number is too long');
  }

  uint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new WireError('a number is too long');
  }

  fixed32(): Buffer {
    return this.#take(4);
  }

  fixed64(): Buffer {
    return this.#take(8);
  }

  bytes(): Buffer {
    return this.#take(this.uint32());
  }

  /** Passes over a value of a field that is not known. */
  skip(type: number): void {
    if (type === wireTypes.varint) this.uint64();
    else if (type === wireTypes.fixed64) this.fixed64();
    else if (type === wireTypes.bytes) this.bytes();
    else if (type === wireTypes.fixed32) this.fixed32();
    else throw new WireError('groups are not read here');
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new WireError('the message ends too early');
    return byte;
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new WireError('the message ends too early');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

/** Writes one message. */
export class WireWriter {
  readonly #parts: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  tag(field: number, type: number): this {
    return this.uint32(((field << 3) | type) >>> 0);
  }

  uint32(value: number): this {
    const bytes: number[] = [];
    let rest = value >>> 0;
    while (rest > 0x7f) {
      bytes.push((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    bytes.push(rest);
    return this.raw(Buffer.from(bytes));
  }

  /** Negative numbers as two's complement of 64 bits, as the wire has them. */
  uint64(value: bigint): this {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    return this.raw(Buffer.from(bytes));
  }

  /** With its length in front. */
  bytes(value: Buffer): this {
    return this.uint32(value.length).raw(value);
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value));
  }

  raw(value: Buffer): this {
    this.#parts.push(value);
    this.#length += value.length;
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts, this.#length);
  }
}
