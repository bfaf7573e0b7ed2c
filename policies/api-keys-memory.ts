/** API keys in the memory of this process: they are gone when it ends. */
import type { ApiKey } from './api-keys.ts';
import { type ApiKeyStore, maxManagedApiKeys, tooManyApiKeys } from './managed-api-keys.ts';

/** Creates an empty store. */
export function createMemoryApiKeyStore(): ApiKeyStore {
  const keys = new Map<string, ApiKey>();
  let changes = 0;
  return {
    async add(key) {
      if (keys.has(key.name)) return false;
      if (keys.size >= maxManagedApiKeys) throw tooManyApiKeys();
      keys.set(key.name, key);
      changes++;
      return true;
    },
    async remove(name) {
      const removed = keys.delete(name);
      if (removed) changes++;
      return removed;
    },
    list: async () => [...keys.values()],
    async read(known) {
      const version = String(changes);
      return version === known ? null : { version, keys: [...keys.values()] };
    },
  };
}
