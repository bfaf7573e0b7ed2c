/** The revocations of a gateway, in the Redis that is named for limits, else in that of the registry. */
import { createRevocationList, type RevocationCheck } from '../policies/revocation.ts';
import { createRedisRevocationStore, followRevocations, type RevocationStore } from '../policies/revocation-redis.ts';
import { connectAccessRedis } from './access-redis.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** The store, to write to; undefined where revocation is not configured. */
export function openRevocationStore(settings: Settings): (RevocationStore & Disposable) | undefined {
  const connected = settings.authentication.revocation === undefined ? undefined : connectAccessRedis(settings);
  if (connected === undefined) return undefined;
  const { redis, keyPrefix } = connected;
  return { ...createRedisRevocationStore(redis, keyPrefix), [Symbol.dispose]: () => redis.disconnect() };
}

export interface Revocations extends RevocationCheck, Disposable {
  /** Resolves when it is known what is revoked, or that this cannot be known. */
  readonly begun: Promise<void>;
}

/** What requests are checked against; undefined where revocation is not configured. Every process reads for itself. */
export function createRevocations(settings: Settings, log: Log, metrics: Metrics): Revocations | undefined {
  const store = openRevocationStore(settings);
  if (store === undefined) return undefined;
  const list = createRevocationList(settings.authentication.revocation ?? {});
  const follower = followRevocations(store, list, {
    onAvailable(available, error) {
      if (available) log.info('revocations can be read again');
      else log.warn('revocations cannot be read: what is known of them counts, as onStoreError says', { error });
      metrics.observeRevocationStore(available);
    },
  });
  metrics.observeRevocationStore(true);
  return {
    begun: follower.begun,
    check: (viewer) => list.check(viewer),
    [Symbol.dispose]() {
      follower.close();
      store[Symbol.dispose]();
    },
  };
}
