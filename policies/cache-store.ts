/** Where answers are kept, for both doors: what a store does, whichever it is. */

/** An answer as it is kept. */
export interface CacheEntry {
  /** Plain data: what is known of the answer beside its body. */
  readonly meta: unknown;
  readonly body: Buffer;
}

/** What a look-up found. */
export interface CacheLookup {
  readonly entry: CacheEntry | null;
  /** The number of invalidations that the store had seen; it goes into {@link CacheStore.set}. */
  readonly epoch: number;
}

export interface CacheSetOptions {
  readonly ttlMs: number;
  /** What the answer depends on: see {@link CacheStore.invalidate}. */
  readonly tags: readonly string[];
  /**
   * That of the look-up before the answer was made. What was invalidated since then would be stale already: an answer
   * with one of these tags is not kept.
   */
  readonly epoch: number;
}

/**
 * Keeps answers within bounds. A store that cannot be asked behaves as an empty one: `get` and `set` never reject, and
 * never wait long.
 */
export interface CacheStore {
  get(key: string): CacheLookup | Promise<CacheLookup>;
  /** Whether the answer is kept. */
  set(key: string, entry: CacheEntry, options: CacheSetOptions): boolean | Promise<boolean>;
  delete(key: string): void | Promise<void>;
  /** Drops every answer with one of these tags; the number of those dropped. Rejects when that is not sure. */
  invalidate(tags: readonly string[]): number | Promise<number>;
  /** Drops everything. Rejects when that is not sure. */
  clear(): void | Promise<void>;
  /** Bytes held in this process. */
  readonly sizeBytes: number;
  close(): void;
}

/** Longest time that anything is kept. */
export const maxCacheTtlMs = 86_400_000;
