/** API keys that are made and removed at run time: kept in Redis by digest, known to every gateway within two seconds. */
import type { Cluster, Redis } from 'ioredis';
import { type ApiKeys, createApiKeys } from './api-keys.ts';
import type { ApiKey } from './authenticate.ts';
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

const maxKeys = 10_000;
/** How long Redis may not be heard of before an unknown key could be a new one. */
const staleAfterMs = 5_000;

/** KEYS: keys by name, version. The version is random: a Redis that lost its data never shows one that was before. */
const addScript = `
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
if redis.call('HLEN', KEYS[1]) >= ${maxKeys} then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1
`;
const removeScript = `
local removed = redis.call('HDEL', KEYS[1], ARGV[1])
if removed == 1 then redis.call('SET', KEYS[2], ARGV[2]) end
return removed
`;
const readScript = `
local version = redis.call('GET', KEYS[2]) or ''
if version == ARGV[1] then return {version} end
return {version, redis.call('HVALS', KEYS[1])}
`;

interface Scripted {
  selvageAddApiKey(...values: string[]): Promise<number>;
  selvageRemoveApiKey(...values: string[]): Promise<number>;
  selvageReadApiKeys(...values: string[]): Promise<[string, string[]?]>;
}

/** Creates the store over a connection that stays its owner's. */
export function createRedisApiKeyStore(redis: Redis | Cluster, keyPrefix: string): ApiKeyStore {
  const keys = ['keys', 'version'].map((name) => `${keyPrefix}{api-keys}:${name}`);
  redis.defineCommand('selvageAddApiKey', { lua: addScript, numberOfKeys: 2 });
  redis.defineCommand('selvageRemoveApiKey', { lua: removeScript, numberOfKeys: 2 });
  redis.defineCommand('selvageReadApiKeys', { lua: readScript, numberOfKeys: 2 });
  const scripted = redis as unknown as Scripted;
  const read: ApiKeyStore['read'] = async (known) => {
    const [version, documents] = await scripted.selvageReadApiKeys(...keys, known);
    return documents === undefined
      ? null
      : { version, keys: documents.map((document) => JSON.parse(document) as ApiKey) };
  };
  return {
    async add(key) {
      const added = await scripted.selvageAddApiKey(...keys, key.name, JSON.stringify(key), crypto.randomUUID());
      if (added < 0) throw new RangeError(`there are ${maxKeys} API keys already`);
      return added === 1;
    },
    remove: async (name) => (await scripted.selvageRemoveApiKey(...keys, name, crypto.randomUUID())) === 1,
    list: async () => (await read('none'))?.keys ?? [],
    read,
  };
}

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
