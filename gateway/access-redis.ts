/** The connection for what decides who gets in: revocations and API keys. */
import type { Cluster, Redis } from 'ioredis';
import { revocationConnection } from '../policies/revocation-redis.ts';
import { connectRedis, defaultKeyPrefix } from '../subgraphs/redis-connection.ts';
import type { Settings } from './config.ts';

/** Connects to the Redis that is named for limits, else to that of the registry; undefined without either. */
export function connectAccessRedis({
  redisUrl,
  store,
}: Settings): { readonly redis: Redis | Cluster; readonly keyPrefix: string } | undefined {
  if (redisUrl !== undefined) {
    return { redis: connectRedis({ url: redisUrl }, revocationConnection), keyPrefix: defaultKeyPrefix };
  }
  if (store.kind !== 'redis') return undefined;
  return {
    redis: connectRedis(store.redis, revocationConnection),
    keyPrefix: store.redis.keyPrefix ?? defaultKeyPrefix,
  };
}
