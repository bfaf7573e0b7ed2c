/** The registry for as long as the process lives. */
import { type Store, StoreConflict, type StoredState } from './store.ts';

/** A store that forgets at exit. */
export function createMemoryStore(): Store {
  let stored: StoredState | null = null;
  return {
    load: async () => stored,
    save: async (state, expected) => {
      if (expected !== undefined && stored !== null && stored.snapshot.revision > expected) throw new StoreConflict();
      stored = state;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
