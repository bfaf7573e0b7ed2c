/** The store of cached answers: memory of this process, or the Redis that the configuration names. */
import { createMemoryCache } from '../policies/cache-memory.ts';
import { createRedisCache } from '../policies/cache-redis.ts';
import type { CacheStore } from '../policies/cache-store.ts';
import { rateLimitConnection } from '../policies/rate-limit-redis.ts';
import { connectRedis, defaultKeyPrefix } from '../subgraphs/redis-connection.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Opens the store. It is empty as long as Redis cannot be asked, and requests go to the services. */
export function openCacheStore(settings: Settings, log: Log, metrics: Metrics): CacheStore {
  const store = settings.cache.store === 'redis' ? openRedis(settings, log) : openMemory(settings, metrics);
  metrics.cache.watchSize(() => store.sizeBytes);
  return store;
}

function openMemory({ cache }: Settings, metrics: Metrics): CacheStore {
  return createMemoryCache({ maxBytes: cache.maxBytes, onEvict: metrics.cache.onEvict });
}

function openRedis({ redisUrl, store }: Settings, log: Log): CacheStore {
  const options = redisUrl === undefined && store.kind === 'redis' ? store.redis : { url: redisUrl ?? '' };
  // As impatient as that of limits, and apart from it: a large answer must not hold up a small question.
  const redis = connectRedis(options, { ...rateLimitConnection, commandTimeout: 2_000 });
  const cache = createRedisCache({
    redis,
    keyPrefix: `${options.keyPrefix ?? defaultKeyPrefix}cache:`,
    onFailure: (error) => log.warn('Redis cannot be asked for cached answers: requests go to the services', { error }),
  });
  return {
    ...cache,
    close() {
      cache.close();
      redis.disconnect();
    },
  };
}
