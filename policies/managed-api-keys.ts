/** API keys that are made and removed at run time: kept by digest, known to every process within two seconds. */
import { type ApiKey, type ApiKeys, createApiKeys } from './api-keys.ts';
import { GatewayError } from './errors.ts';
import { type FollowOptions, followStore, type StoreFollower } from './store-following.ts';

export interface ApiKeyStore {
  /** False when there is a key of that name already. Throws a RangeError when there are too many. */
  add(key: ApiKey): Promise<boolean>;
  /** False when there is none of that name. */
  remove(name: string): Promise<boolean>;
  list(): Promise<readonly ApiKey[]>;
  /** All keys when they are not those of that version any more, else null. */
  read(version: string): Promise<{ readonly version: string; readonly keys: readonly ApiKey[] } | null>;
}

/** How many keys a store takes. */
export const maxManagedApiKeys = 10_000;

/** What a store throws that is full. */
export function tooManyApiKeys(): RangeError {
  return new RangeError(`there are ${maxManagedApiKeys} API keys already`);
}

/** How long the store may not be heard of before an unknown key could be a new one. */
const staleAfterMs = 5_000;

export type ManagedApiKeys = ApiKeys & StoreFollower;

export interface ManagedApiKeysOptions extends FollowOptions {
  readonly now?: () => number;
}

/**
 * Follows the store. While it cannot be read the known keys work on, and a key that is not known gets 503: it may be one
 * that was made meanwhile.
 */
export function followApiKeys(store: ApiKeyStore, options: ManagedApiKeysOptions): ManagedApiKeys {
  const { now = Date.now } = options;
  let table = createApiKeys([], now);
  let version = 'none';
  let readAtMs = Number.NEGATIVE_INFINITY;
  const follower = followStore(async () => {
    const changed = await store.read(version);
    if (changed !== null) {
      table = createApiKeys(changed.keys, now);
      version = changed.version;
    }
    readAtMs = now();
  }, options);
  return {
    ...follower,
    knows: (key) => table.knows(key),
    identify(key) {
      if (!table.knows(key) && now() - readAtMs > staleAfterMs) {
        throw new GatewayError('SERVICE_UNAVAILABLE', 'API keys cannot be read', { retryAfterSeconds: 1 });
      }
      return table.identify(key);
    },
  };
}
