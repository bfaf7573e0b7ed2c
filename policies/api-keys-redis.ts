/** API keys in Redis, for all gateways that share it. */
import type { Cluster, Redis } from 'ioredis';
import type { ApiKey } from './api-keys.ts';
import { type ApiKeyStore, maxManagedApiKeys, tooManyApiKeys } from './managed-api-keys.ts';

/** KEYS: keys by name, version. The version is random: a Redis that lost its data never shows one that was before. */
const addScript = `
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
if redis.call('HLEN', KEYS[1]) >= ${maxManagedApiKeys} then return -1 end
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
      if (added < 0) throw tooManyApiKeys();
      return added === 1;
    },
    remove: async (name) => (await scripted.selvageRemoveApiKey(...keys, name, crypto.randomUUID())) === 1,
    list: async () => (await read('none'))?.keys ?? [],
    read,
  };
}
