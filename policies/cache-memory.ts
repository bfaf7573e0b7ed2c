/** Answers kept in this process: bounded in bytes, the longest unused gone first. */
import type { CacheEntry, CacheLookup, CacheSetOptions, CacheStore } from './cache-store.ts';
import { maxCacheTtlMs } from './cache-store.ts';

export interface MemoryCacheOptions {
  readonly maxBytes: number;
  /** Monotonic milliseconds. @default performance.now */
  readonly now?: () => number;
  /** Hears of an answer that made room for others. */
  readonly onEvict?: () => void;
}

interface Kept {
  readonly entry: CacheEntry;
  readonly tags: readonly string[];
  readonly sizeBytes: number;
  readonly expiresAtMs: number;
}

/** What an entry costs beside its own bytes, and what a tag of one does. Rather too much than too little. */
const entryOverheadBytes = 500;
const tagOverheadBytes = 150;
/** Invalidations that are remembered for answers which are being made. */
const maxInvalidations = 10_000;

/** Creates a store in memory. All its calls answer at once. */
export function createMemoryCache(options: MemoryCacheOptions): CacheStore & { get(key: string): CacheLookup } {
  return new MemoryCache(options);
}

class MemoryCache implements CacheStore {
  readonly #maxBytes: number;
  readonly #now: () => number;
  readonly #onEvict: () => void;
  /** In the order of use: a Map keeps that of insertion. */
  readonly #kept = new Map<string, Kept>();
  readonly #keysByTag = new Map<string, Set<string>>();
  /** The epoch of the last invalidation of a tag, the oldest first. */
  readonly #invalidatedAt = new Map<string, number>();
  /** Answers that began before this epoch are not kept: of them it is not known any more what was invalidated. */
  #horizon = 0;
  #epoch = 0;
  sizeBytes = 0;

  constructor({ maxBytes, now = () => performance.now(), onEvict = () => {} }: MemoryCacheOptions) {
    this.#maxBytes = maxBytes;
    this.#now = now;
    this.#onEvict = onEvict;
  }

  get(key: string): CacheLookup {
    const kept = this.#kept.get(key);
    if (kept === undefined) return { entry: null, epoch: this.#epoch };
    if (kept.expiresAtMs <= this.#now()) {
      this.delete(key);
      return { entry: null, epoch: this.#epoch };
    }
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    return { entry: kept.entry, epoch: this.#epoch };
  }

  set(key: string, entry: CacheEntry, { ttlMs, tags, epoch }: CacheSetOptions): boolean {
    const sizeBytes = measure(key, entry, tags);
    this.delete(key);
    if (sizeBytes > this.#maxBytes || ttlMs <= 0 || this.#isOutdated(tags, epoch)) return false;
    const expiresAtMs = this.#now() + Math.min(ttlMs, maxCacheTtlMs);
    this.#kept.set(key, { entry, tags, sizeBytes, expiresAtMs });
    this.sizeBytes += sizeBytes;
    for (const tag of tags) {
      const keys = this.#keysByTag.get(tag);
      if (keys === undefined) this.#keysByTag.set(tag, new Set([key]));
      else keys.add(key);
    }
    for (const oldest of this.#kept.keys()) {
      if (this.sizeBytes <= this.#maxBytes) break;
      this.delete(oldest);
      this.#onEvict();
    }
    return true;
  }

  delete(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#kept.delete(key);
    this.sizeBytes -= kept.sizeBytes;
    for (const tag of kept.tags) {
      const keys = this.#keysByTag.get(tag);
      keys?.delete(key);
      if (keys?.size === 0) this.#keysByTag.delete(tag);
    }
  }

  invalidate(tags: readonly string[]): number {
    this.#epoch += 1;
    let count = 0;
    for (const tag of tags) {
      this.#invalidatedAt.delete(tag);
      this.#invalidatedAt.set(tag, this.#epoch);
      const keys = [...(this.#keysByTag.get(tag) ?? [])];
      count += keys.length;
      for (const key of keys) this.delete(key);
    }
    for (const [tag, epoch] of this.#invalidatedAt) {
      if (this.#invalidatedAt.size <= maxInvalidations) break;
      this.#invalidatedAt.delete(tag);
      this.#horizon = epoch;
    }
    return count;
  }

  clear(): void {
    this.#epoch += 1;
    this.#horizon = this.#epoch;
    this.#invalidatedAt.clear();
    this.#kept.clear();
    this.#keysByTag.clear();
    this.sizeBytes = 0;
  }

  close(): void {
    this.clear();
  }

  #isOutdated(tags: readonly string[], epoch: number): boolean {
    return epoch < this.#horizon || tags.some((tag) => (this.#invalidatedAt.get(tag) ?? 0) > epoch);
  }
}

/** Strings are counted by two bytes a character: V8 may keep them so. */
function measure(key: string, { meta, body }: CacheEntry, tags: readonly string[]): number {
  const tagBytes = tags.reduce((sum, tag) => sum + 2 * tag.length + tagOverheadBytes, 0);
  return body.length + 2 * (key.length + JSON.stringify(meta).length) + tagBytes + entryOverheadBytes;
}
