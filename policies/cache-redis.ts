/** Answers that all gateways of one Redis share. Every key expires; how much there may be is Redis' `maxmemory`. */
import type { Cluster, Redis } from 'ioredis';
import {
  type CacheEntry,
  type CacheLookup,
  type CacheSetOptions,
  type CacheStore,
  maxCacheTtlMs,
} from './cache-store.ts';
import { createStorePause } from './rate-limit-pause.ts';

export interface RedisCacheOptions {
  /** A connection of its own: large answers must not stand in the way of rate limits. It stays its owner's to close. */
  readonly redis: Redis | Cluster;
  /** @default 'selvage:cache:' */
  readonly keyPrefix?: string;
  /** How long an answer of Redis is waited for. @default 40 */
  readonly answerTimeoutMs?: number;
  /** Milliseconds since 1970, for when members of a tag can go. @default Date.now */
  readonly now?: () => number;
  /** Hears that Redis cannot be asked, once per pause. */
  readonly onFailure?: (error: unknown) => void;
}

const nothing: CacheLookup = { entry: null, epoch: -1 };
/** How long an invalidation is remembered for answers that are being made: longer than any request may take. */
const invalidationMemoryMs = 600_000;
const membersAtOnce = 500;
const invalidationPatienceMs = 2_000;

/** Creates a store in Redis. While Redis cannot be asked it is empty, and costs a request no more than the timeout. */
export function createRedisCache(options: RedisCacheOptions): CacheStore {
  const { redis, keyPrefix = 'selvage:cache:', answerTimeoutMs = 40, now = Date.now, onFailure = () => {} } = options;
  const pause = createStorePause();
  /** Fields `epoch`: how many invalidations there were; `cleared`: the epoch of the last that dropped everything. */
  const stateKey = `${keyPrefix}state`;
  const entryKey = (key: string) => `${keyPrefix}e:${key}`;
  const tagKey = (tag: string) => `${keyPrefix}t:${tag}`;
  const invalidationKey = (tag: string) => `${keyPrefix}i:${tag}`;

  async function attempt<T>(work: () => Promise<T>, otherwise: T): Promise<T> {
    if (!pause.mayAsk()) return otherwise;
    try {
      const result = await within(answerTimeoutMs, work());
      pause.succeeded();
      return result;
    } catch (error) {
      if (pause.failed()) onFailure(error);
      return otherwise;
    }
  }

  async function readState(): Promise<{ epoch: number; cleared: number }> {
    const [epoch, cleared] = await redis.hmget(stateKey, 'epoch', 'cleared');
    return { epoch: Number(epoch ?? 0), cleared: Number(cleared ?? 0) };
  }

  async function look(key: string): Promise<CacheLookup> {
    const [packed, { epoch, cleared }] = await Promise.all([redis.getBuffer(entryKey(key)), readState()]);
    const found = packed === null ? null : unpack(packed);
    return { entry: found === null || found.epoch < cleared ? null : found.entry, epoch };
  }

  /**
   * First the tags, then the answer, then the look at what was invalidated: whoever invalidates a tag notes that first and
   * looks for members then. In whatever order the two meet, one of them drops the answer.
   */
  async function keep(key: string, entry: CacheEntry, { ttlMs, tags, epoch }: CacheSetOptions): Promise<boolean> {
    const keptMs = Math.ceil(Math.min(ttlMs, maxCacheTtlMs));
    const nowMs = now();
    await Promise.all(
      tags.flatMap((tag): Promise<unknown>[] => [
        redis.zadd(tagKey(tag), nowMs + keptMs, key),
        redis.zremrangebyscore(tagKey(tag), '-inf', nowMs - 60_000),
        redis.pexpire(tagKey(tag), maxCacheTtlMs + 60_000),
      ]),
    );
    await redis.set(entryKey(key), pack(entry, epoch), 'PX', keptMs);
    const [{ cleared }, ...invalidated] = await Promise.all([
      readState(),
      ...tags.map((tag) => redis.get(invalidationKey(tag))),
    ]);
    if (cleared <= epoch && invalidated.every((at) => Number(at ?? 0) <= epoch)) return true;
    await redis.unlink(entryKey(key));
    return false;
  }

  async function drop(tag: string, epoch: number): Promise<number> {
    await redis.set(invalidationKey(tag), String(epoch), 'PX', invalidationMemoryMs);
    let count = 0;
    for (;;) {
      const popped = await redis.zpopmin(tagKey(tag), membersAtOnce);
      const keys = popped.filter((_, index) => index % 2 === 0);
      if (keys.length === 0) return count;
      const removed = await Promise.all(keys.map((key) => redis.unlink(entryKey(key))));
      count += removed.reduce((sum, one) => sum + one, 0);
    }
  }

  return {
    sizeBytes: 0,
    get: (key) => attempt(() => look(key), nothing),
    // An epoch that nobody knows: Redis could not be asked when the answer was begun.
    set: (key, entry, how) => (how.epoch < 0 || how.ttlMs < 1 ? false : attempt(() => keep(key, entry, how), false)),
    delete: (key) => attempt(async () => void (await redis.unlink(entryKey(key))), undefined),
    async invalidate(tags) {
      const work = async (): Promise<number> => {
        const epoch = await redis.hincrby(stateKey, 'epoch', 1);
        const counts = await Promise.all(tags.map((tag) => drop(tag, epoch)));
        return counts.reduce((sum, count) => sum + count, 0);
      };
      return await within(invalidationPatienceMs, work());
    },
    async clear() {
      const work = async (): Promise<void> => {
        const epoch = await redis.hincrby(stateKey, 'epoch', 1);
        await redis.hset(stateKey, 'cleared', String(epoch));
      };
      await within(invalidationPatienceMs, work());
    },
    close() {},
  };
}

/** Four bytes with the length of the JSON, the JSON, the body. */
function pack({ meta, body }: CacheEntry, epoch: number): Buffer {
  const json = Buffer.from(JSON.stringify({ meta, epoch }), 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, body]);
}

/** Null for what this version cannot read. */
function unpack(packed: Buffer): { entry: CacheEntry; epoch: number } | null {
  try {
    const end = 4 + packed.readUInt32BE(0);
    const { meta, epoch } = JSON.parse(packed.toString('utf8', 4, end)) as { meta: unknown; epoch: number };
    return { entry: { meta, body: packed.subarray(end) }, epoch };
  } catch {
    return null;
  }
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  // After a stall of our own event loop timers run before sockets are read: look there once before giving up.
  const giveUp = () => reject(new Error(`Redis did not answer within ${timeoutMs} ms`));
  const timer = setTimeout(() => setImmediate(giveUp), timeoutMs);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    // Whoever is not waited for any more may still fail.
    work.catch(() => {});
  }
}
