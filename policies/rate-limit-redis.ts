/** Counts shared by every gateway that asks one Redis. */
import { randomUUID } from 'node:crypto';
import { type Cluster, Redis, type RedisOptions } from 'ioredis';
import {
  type ConcurrencyRule,
  type CountResult,
  type CountRule,
  type RateLimitStore,
  windowParts,
} from './rate-limit-count.ts';
import { createAnswerPatience } from './rate-limit-patience.ts';
import { type CountMode, type LimitScripts, limitScripts, type ScriptReply } from './rate-limit-scripts.ts';
import { createLeaseKeeper, type HeldSlot } from './rate-limit-slots.ts';

/** `url` makes a connection of its own; a ready `redis` stays its owner's to configure and to close. */
export type RedisRateLimitStoreOptions = {
  /** @default 'selvage:rl:' */
  readonly keyPrefix?: string | undefined;
  /** How long an answer is waited for; twice as long while others come. @default 25 */
  readonly answerTimeoutMs?: number | undefined;
} & ({ readonly url: string } | { readonly redis: Redis | Cluster });

/** How a connection has to behave that limits are asked over. */
export const rateLimitConnection = {
  // What cannot be asked now is decided otherwise, at once: nothing waits for a reconnection, nothing is sent twice.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  enableAutoPipelining: true,
  connectTimeout: 500,
  // Much longer than the answer timeout, which decides, and than any stall of ours: this one only frees the pipeline that a
  // hanging Redis holds.
  commandTimeout: 1_000,
  // A peer that vanished without a word is noticed here, not after the kernel's quarter of an hour.
  socketTimeout: 2_000,
  retryStrategy: (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 10), 2_000),
} satisfies RedisOptions;

/** A rate limit store in Redis. A failure rejects within `answerTimeoutMs`; the connection heals by itself. */
export function createRedisRateLimitStore(options: RedisRateLimitStoreOptions): RateLimitStore {
  const { keyPrefix = 'selvage:rl:', answerTimeoutMs = 25 } = options;
  const redis = 'redis' in options ? options.redis : new Redis(options.url, rateLimitConnection);
  // Counted from the call, not from the sending: ioredis holds commands back while a pipeline is under way.
  const within = createAnswerPatience(answerTimeoutMs);
  let connectionFailure: unknown;
  const remember = (error: unknown) => {
    connectionFailure = error;
  };
  // Without a listener ioredis prints every failed connection.
  redis.on('error', remember);
  const scripted = defineScripts(redis);

  // A slot whose gateway is gone is not renewed. What cannot be renewed or given back now, its lease will end.
  const leases = createLeaseKeeper(
    (slots) => {
      for (const { key, holder, leaseMs } of slots) scripted.selvageSlotRenew(key, holder, leaseMs).catch(ignore);
    },
    ({ key, holder }) => void redis.zrem(key, holder).catch(ignore),
  );

  function ask(key: string, rule: CountRule, cost: number, mode: CountMode): Promise<ScriptReply> {
    switch (rule.algorithm) {
      case 'fixed-window':
        return scripted.selvageFixedWindow(key, rule.limit, rule.windowMs, cost, mode);
      case 'sliding-window':
        return scripted.selvageSlidingWindow(key, rule.limit, rule.windowMs, windowParts, cost, mode);
      case 'concurrency':
        throw new TypeError('slots are taken otherwise');
      default:
        return scripted.selvageGcra(key, rule.emissionUs, rule.burst, cost, rule.debtUs ?? 0, mode);
    }
  }

  async function takeSlot(key: string, { limit, leaseMs }: ConcurrencyRule): Promise<CountResult> {
    const slot: HeldSlot = { key, holder: randomUUID(), leaseMs };
    try {
      const reply = await within(scripted.selvageSlotTake(key, limit, slot.holder, leaseMs));
      const result = readReply(reply);
      return result.allowed ? { ...result, release: leases.hold(slot) } : result;
    } catch (error) {
      // It may have been given to us after all.
      redis.zrem(key, slot.holder).catch(ignore);
      throw error;
    }
  }

  async function count(key: string, rule: CountRule, cost: number, mode: CountMode): Promise<CountResult> {
    try {
      if (rule.algorithm === 'concurrency') return await takeSlot(keyPrefix + key, rule);
      return readReply(await within(ask(keyPrefix + key, rule, cost, mode)));
    } catch (error) {
      // "Stream isn't writeable" is no news; why there is no connection is.
      throw new Error('Redis cannot be asked', {
        cause: redis.status === 'ready' ? error : (connectionFailure ?? error),
      });
    }
  }

  return {
    take: (key, rule, cost) => count(key, rule, cost, 'take'),
    charge: (key, rule, cost) => count(key, rule, cost, 'charge'),
    close() {
      leases.close();
      if ('redis' in options) redis.off('error', remember);
      else redis.disconnect();
    },
  };
}

const ignore = (): void => {};

function readReply([allowed, remaining, retryAfterMs, resetMs]: ScriptReply): CountResult {
  return { allowed: allowed === 1, remaining, retryAfterMs, resetMs };
}

function defineScripts(redis: Redis | Cluster): LimitScripts {
  for (const [name, lua] of Object.entries(limitScripts)) redis.defineCommand(name, { lua, numberOfKeys: 1 });
  return redis as unknown as LimitScripts;
}
