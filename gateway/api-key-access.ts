/**
 * The API keys that are managed at run time: in the Redis that is named for limits, else where the registry is kept, in
 * Redis, in a file beside its own, or in memory.
 */
import { join } from 'node:path';
import type { ApiKeys } from '../policies/api-keys.ts';
import { createFileApiKeyStore } from '../policies/api-keys-file.ts';
import { createMemoryApiKeyStore } from '../policies/api-keys-memory.ts';
import { createRedisApiKeyStore } from '../policies/api-keys-redis.ts';
import { type ApiKeyStore, followApiKeys } from '../policies/managed-api-keys.ts';
import { connectAccessRedis } from './access-redis.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';

/** The store, to write to; undefined where keys are not managed. */
export function openApiKeyStore(settings: Settings): (ApiKeyStore & Disposable) | undefined {
  const { authentication, store } = settings;
  if (authentication.managedApiKeys !== true) return undefined;
  const connected = connectAccessRedis(settings);
  if (connected !== undefined) {
    const { redis, keyPrefix } = connected;
    return { ...createRedisApiKeyStore(redis, keyPrefix), [Symbol.dispose]: () => redis.disconnect() };
  }
  const local =
    store.kind === 'file' ? createFileApiKeyStore(join(store.directory, 'api-keys.json')) : createMemoryApiKeyStore();
  return { ...local, [Symbol.dispose]() {} };
}

export interface ApiKeyAccess extends ApiKeys, Disposable {
  readonly begun: Promise<void>;
}

/**
 * The keys that requests may show; undefined where keys are not managed. Without a `store`, which stays its owner's, one
 * is opened: every worker reads for itself.
 */
export function createApiKeyAccess(settings: Settings, log: Log, given?: ApiKeyStore): ApiKeyAccess | undefined {
  const opened = given === undefined ? openApiKeyStore(settings) : undefined;
  const store = given ?? opened;
  if (store === undefined) return undefined;
  const keys = followApiKeys(store, {
    onAvailable(available, error) {
      if (available) log.info('API keys can be read again');
      else log.warn('API keys cannot be read: those that are known work on, others get 503', { error });
    },
  });
  return {
    begun: keys.begun,
    knows: keys.knows,
    identify: keys.identify,
    [Symbol.dispose]() {
      keys.close();
      opened?.[Symbol.dispose]();
    },
  };
}
