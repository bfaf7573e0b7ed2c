/** The rate limiter of a gateway: shared counts in Redis where one is configured, else counts in this process. */
import { createRateLimiter, type RateLimiter, type RateLimitStore } from '../policies/rate-limit.ts';
import { createMemoryRateLimitStore } from '../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore, rateLimitConnection } from '../policies/rate-limit-redis.ts';
import { connectRedis, defaultKeyPrefix } from '../subgraphs/redis-connection.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Creates the limiter. `local` counts where no Redis does; it is closed with the limiter. */
export function createLimiter(
  settings: Settings,
  log: Log,
  metrics: Metrics,
  local: RateLimitStore = createMemoryRateLimitStore(),
): RateLimiter & { close(): void } {
  const shared = openSharedStore(settings);
  const limiter = createRateLimiter({
    shared,
    local,
    onStoreFailure: (error) => log.warn('Redis cannot be asked: each limit does what its onStoreError says', { error }),
    onDecision: (rule, outcome) => metrics.observeLimit(rule, outcome),
  });
  return {
    check: (rules, subject) => limiter.check(rules, subject),
    close() {
      shared?.close();
      local.close();
    },
  };
}

/** The Redis that is named for limits, else that of the registry. */
function openSharedStore({ redisUrl, store }: Settings) {
  if (redisUrl !== undefined) return createRedisRateLimitStore({ url: redisUrl });
  if (store.kind !== 'redis') return undefined;
  // A connection of its own, because it behaves otherwise: a limit waits milliseconds for an answer, a registration seconds.
  const redis = connectRedis(store.redis, rateLimitConnection);
  const limits = createRedisRateLimitStore({ redis, keyPrefix: `${store.redis.keyPrefix ?? defaultKeyPrefix}rl:` });
  return {
    ...limits,
    close() {
      limits.close();
      redis.disconnect();
    },
  };
}
