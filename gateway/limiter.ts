/** The rate limiter of a gateway: shared counts in Redis where one is configured, else counts in this process. */
import { createRateLimiter, type RateLimiter } from '../policies/rate-limit.ts';
import type { RateLimitStore } from '../policies/rate-limit-count.ts';
import { createMemoryRateLimitStore } from '../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore, rateLimitConnection } from '../policies/rate-limit-redis.ts';
import { createLocalShares } from '../policies/rate-limit-share.ts';
import { connectRedis, defaultKeyPrefix } from '../subgraphs/redis-connection.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Creates the limiter. `local` counts where no Redis does; it is closed with the limiter. */
export function createLimiter(
  currentSettings: () => Settings,
  log: Log,
  metrics: Metrics,
  local: RateLimitStore = createMemoryRateLimitStore(),
): RateLimiter & { close(): void } {
  const store = openSharedStore(currentSettings());
  const shared = store === undefined ? undefined : createLocalShares(store);
  const limiter = createRateLimiter({
    shared,
    local,
    onStoreFailure: (error) => log.warn('Redis cannot be asked: each limit does what its onStoreError says', { error }),
    headers: () => currentSettings().rateLimitHeaders,
    onDecision: (rule, outcome) => metrics.observeLimit(rule, outcome),
  });
  return {
    ...limiter,
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
