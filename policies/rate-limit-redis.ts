/** Counts shared by every gateway that asks one Redis. */
import { type Cluster, Redis, type RedisOptions } from 'ioredis';
import type { GcraResult, GcraRule, RateLimitStore } from './rate-limit.ts';

/** `url` makes a connection of its own; a ready `redis` stays its owner's to configure and to close. */
export type RedisRateLimitStoreOptions = {
  /** @default 'selvage:rl:' */
  readonly keyPrefix?: string | undefined;
  /** How long an answer is waited for. @default 25 */
  readonly answerTimeoutMs?: number | undefined;
} & ({ readonly url: string } | { readonly redis: Redis | Cluster });

/**
 * GCRA in one step, by the clock of Redis, so that gateways need not agree on the time. Times are microseconds; `%.2f`
 * keeps their quarters. The theoretical arrival time is capped: a clock set back cannot lock anyone out for longer than
 * a full burst.
 */
const gcraScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local emission, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tolerance = emission * burst
local arrival = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or now), now), now + tolerance)
local wait = arrival + emission * cost - tolerance - now
local allowed = 0
if wait <= 0 then
  allowed = 1
  arrival = arrival + emission * cost
  wait = arrival + emission - tolerance - now
  local ttl = string.format('%.0f', math.ceil((arrival - now) / 1000))
  redis.call('SET', KEYS[1], string.format('%.2f', arrival), 'PX', ttl)
end
local remaining = math.floor((now + tolerance - arrival) / emission)
return {allowed, remaining, math.max(0, math.ceil(wait / 1000)), math.ceil((arrival - now) / 1000)}
`;

interface Scripted {
  selvageGcra(key: string, emissionUs: number, burst: number, cost: number): Promise<[number, number, number, number]>;
}

/** How a connection has to behave that limits are asked over. */
export const rateLimitConnection = {
  // What cannot be asked now is decided otherwise, at once: nothing waits for a reconnection, nothing is sent twice.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  enableAutoPipelining: true,
  connectTimeout: 500,
  // Longer than the answer timeout, which decides: this one only frees the pipeline that a hanging Redis holds.
  commandTimeout: 200,
  // A peer that vanished without a word is noticed here, not after the kernel's quarter of an hour.
  socketTimeout: 2_000,
  retryStrategy: (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 10), 2_000),
} satisfies RedisOptions;

/** A rate limit store in Redis. A failure rejects within `answerTimeoutMs`; the connection heals by itself. */
export function createRedisRateLimitStore(options: RedisRateLimitStoreOptions): RateLimitStore {
  const { keyPrefix = 'selvage:rl:', answerTimeoutMs = 25 } = options;
  const redis = 'redis' in options ? options.redis : new Redis(options.url, rateLimitConnection);
  let connectionFailure: unknown;
  const remember = (error: unknown) => {
    connectionFailure = error;
  };
  // Without a listener ioredis prints every failed connection.
  redis.on('error', remember);
  const scripted = defineScript(redis);

  async function take(key: string, rule: GcraRule, cost: number): Promise<GcraResult> {
    try {
      const reply = await within(
        answerTimeoutMs,
        scripted.selvageGcra(keyPrefix + key, rule.emissionUs, rule.burst, cost),
      );
      const [allowed, remaining, retryAfterMs, resetMs] = reply;
      return { allowed: allowed === 1, remaining, retryAfterMs, resetMs };
    } catch (error) {
      // "Stream isn't writeable" is no news; why there is no connection is.
      throw new Error('Redis cannot be asked', {
        cause: redis.status === 'ready' ? error : (connectionFailure ?? error),
      });
    }
  }

  return {
    take,
    close() {
      if ('redis' in options) redis.off('error', remember);
      else redis.disconnect();
    },
  };
}

function defineScript(redis: Redis | Cluster): Scripted {
  redis.defineCommand('selvageGcra', { lua: gcraScript, numberOfKeys: 1 });
  return redis as unknown as Scripted;
}

/** Counted from the call, not from the sending: ioredis holds commands back while a pipeline is under way. */
function within<T>(timeoutMs: number, reply: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new Error(`no answer within ${timeoutMs} ms`));
    // After a stall of our own event loop timers run before sockets are read: look there once before giving up.
    const timer = setTimeout(() => setImmediate(giveUp), timeoutMs);
    reply.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
