/** Bytes that both ends can work out alone: what a service says for a name and a size, and what a client expects. */
import { hash } from 'node:crypto';
import { createRandom } from '../support/random.ts';

const blockBytes = 1_048_573;
/** One block for all, of a prime length: a piece that is missing, doubled or out of place never fits what follows. */
const block = buildBlock();

function buildBlock(): Buffer {
  const random = createRandom(20261121);
  const bytes = Buffer.alloc(blockBytes);
  for (let i = 0; i < blockBytes; i++) bytes[i] = Math.floor(random() * 256);
  return bytes;
}

/** The bytes of a body between two places of it. */
export function contentOf(seed: number, from: number, to: number): Buffer {
  const pieces: Buffer[] = [];
  let place = (seed * 7_919 + from) % blockBytes;
  for (let left = to - from; left > 0; ) {
    const piece = block.subarray(place, Math.min(blockBytes, place + left));
    pieces.push(piece);
    left -= piece.length;
    place = 0;
  }
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
}

/** The checksum of a whole body. */
export function checksumOf(seed: number, bytes: number): string {
  return hash('sha1', contentOf(seed, 0, bytes));
}

/** Compares a body as it arrives. A truncated one must be right as far as it goes, too. */
export class ContentCheck {
  readonly #seed: number;
  readonly #expected: number;
  #received = 0;
  #mistake: string | null = null;

  constructor(seed: number, expectedBytes: number) {
    this.#seed = seed;
    this.#expected = expectedBytes;
  }

  take(piece: Buffer): void {
    const end = this.#received + piece.length;
    if (end > this.#expected) this.#mistake ??= `more than ${this.#expected} bytes`;
    else if (!contentOf(this.#seed, this.#received, end).equals(piece)) {
      this.#mistake ??= `a wrong byte between ${this.#received} and ${end}`;
    }
    this.#received = end;
  }

  /** What is wrong; null when nothing is. */
  judge(isComplete: boolean): string | null {
    if (this.#mistake !== null) return this.#mistake;
    if (isComplete && this.#received !== this.#expected)
      return `it ended as if it were whole after ${this.#received} of ${this.#expected} bytes`;
    return null;
  }

  get received(): number {
    return this.#received;
  }
}

/** What a GraphQL service says of an item. */
export function describeItem(id: string): { id: string; name: string; price: number } {
  return { id, name: `item ${id} ${hash('sha1', id)}`, price: Number(id) * 3 + 1 };
}

export function offersOf(id: string): { id: string; text: string }[] {
  return Array.from({ length: Number(id) % 5 }, (_, n) => ({ id: `${id}-${n}`, text: hash('sha1', `${id}-${n}`) }));
}

export const schemas = {
  items:
    'type Query { item(id: ID!): Item items(from: Int!, count: Int!): [Item!]! } type Mutation { bump(id: ID!): Item } type Item @key(fields: "id") { id: ID! name: String! price: Int! }',
  offers: 'type Item @key(fields: "id") { id: ID! offers: [Offer!]! } type Offer { id: ID! text: String! }',
} as const;
