/** What is known of documents, within bounds: clients decide how many there are and how long. */

export interface PlanCacheOptions {
  readonly maxEntries: number;
  /** Characters of all documents together. What is kept of a document grows with its text. */
  readonly maxCharacters: number;
}

/** By the text of a document, the longest unused gone first. */
export class PlanCache<T> {
  readonly #maxEntries: number;
  readonly #maxCharacters: number;
  /** In the order of use: a Map keeps that of insertion. */
  readonly #entries = new Map<string, T>();
  #characters = 0;

  constructor({ maxEntries, maxCharacters }: PlanCacheOptions) {
    this.#maxEntries = maxEntries;
    this.#maxCharacters = maxCharacters;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The entry, which counts as used now. */
  get(text: string): T | undefined {
    const entry = this.#entries.get(text);
    if (entry === undefined) return undefined;
    this.#entries.delete(text);
    this.#entries.set(text, entry);
    return entry;
  }

  set(text: string, entry: T): void {
    if (!this.#entries.delete(text)) this.#characters += text.length;
    this.#entries.set(text, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries && this.#characters <= this.#maxCharacters) break;
      this.#entries.delete(oldest);
      this.#characters -= oldest.length;
    }
  }

  entries(): MapIterator<[string, T]> {
    return this.#entries.entries();
  }
}
