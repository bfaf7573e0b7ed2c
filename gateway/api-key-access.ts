/** The API keys that are managed at run time, in the Redis that is named for limits, else in that of the registry. */
import type { ApiKeys } from '../policies/api-keys.ts';
import { type ApiKeyStore, createRedisApiKeyStore, followApiKeys } from '../policies/managed-api-keys.ts';
import { connectAccessRedis } from './access-redis.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';

/** The store, to write to; undefined where keys are not managed. */
export function openApiKeyStore(settings: Settings): (ApiKeyStore & Disposable) | undefined {
  const connected = settings.authentication.managedApiKeys === true ? connectAccessRedis(settings) : undefined;
  if (connected === undefined) return undefined;
  const { redis, keyPrefix } = connected;
  return { ...createRedisApiKeyStore(redis, keyPrefix), [Symbol.dispose]: () => redis.disconnect() };
}

export interface ApiKeyAccess extends ApiKeys, Disposable {
  readonly begun: Promise<void>;
}

/** The keys that requests may show; undefined where keys are not managed. Every process reads for itself. */
export function createApiKeyAccess(settings: Settings, log: Log): ApiKeyAccess | undefined {
  const store = openApiKeyStore(settings);
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
      store[Symbol.dispose]();
    },
  };
}
