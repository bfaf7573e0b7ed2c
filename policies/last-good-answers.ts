/** The last good answers to questions, for when no answer comes: bounded in bytes, the longest unused go first. */

export interface LastGoodAnswersOptions {
  /** @default 33_554_432 */
  readonly maxBytes?: number;
  /** A clock in milliseconds. @default performance.now */
  readonly now?: () => number;
}

interface Entry {
  readonly text: string;
  readonly atMs: number;
  readonly bytes: number;
}

/** Answers as text. Whoever keys them puts the viewer into the key (invariant 1). */
export class LastGoodAnswers {
  readonly #entries = new Map<string, Entry>();
  readonly #maxBytes: number;
  readonly #now: () => number;
  #bytes = 0;

  constructor({ maxBytes = 33_554_432, now = () => performance.now() }: LastGoodAnswersOptions = {}) {
    this.#maxBytes = maxBytes;
    this.#now = now;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The answer, unless it is older than `maxAgeMs`. */
  find(key: string, maxAgeMs: number): string | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (this.#now() - entry.atMs > maxAgeMs) {
      this.#drop(key, entry);
      return undefined;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.text;
  }

  /** Keeps an answer in place of the one before. One that alone would take a tenth of the room is not worth it. */
  remember(key: string, text: string): void {
    const before = this.#entries.get(key);
    if (before !== undefined) this.#drop(key, before);
    // Two bytes per character: what a string takes at most.
    const bytes = 2 * (key.length + text.length);
    if (bytes > this.#maxBytes / 10) return;
    this.#entries.set(key, { text, atMs: this.#now(), bytes });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#drop(oldest, entry);
    }
  }

  #drop(key: string, { bytes }: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= bytes;
  }
}
