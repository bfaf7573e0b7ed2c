/** The registry for as long as the process lives. */
import type { Store, StoredState } from './store.ts';

/** A store that forgets at exit. */
export function createMemoryStore(): Store {
  let stored: StoredState | null = null;
  return {
    load: async () => stored,
    save: async (state) => {
      stored = state;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
