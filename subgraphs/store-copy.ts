/** A copy of the shared registry beside this gateway: what it starts with while the shared one cannot be reached. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from './log.ts';
import { type Store, StoreConflict, type StoredState, StoreFormatError } from './store.ts';

export interface StoreCopyOptions {
  readonly shared: Store;
  /** Without one, a start waits for the shared store. */
  readonly copy: Store | null;
  readonly log: Log;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

const retryMs = 1_000;

/** A shared store that is copied to another one, and read from there at the start if need be. Owns both. */
export function createStoreWithCopy({ shared, copy, log, signal }: StoreCopyOptions): Store {
  /** Whether the shared store was ever asked. From then on it alone counts. */
  let hasAsked = false;
  /** Whether what was loaded last is the copy. */
  let isCopy = false;
  let copied: StoredState['snapshot'] | null = null;

  /** In the background: the shared store is the one that counts. */
  function keep(state: StoredState | null): void {
    if (copy === null || state === null || state.snapshot === copied) return;
    copied = state.snapshot;
    copy.save(state).catch((error) => log.warn('the copy of the shared registry cannot be written', { error }));
  }

  async function loadFirst(): Promise<StoredState | null> {
    for (let attempt = 0; ; attempt++) {
      signal?.throwIfAborted();
      try {
        const state = await shared.load();
        hasAsked = true;
        // An empty registry is filled with what this gateway remembers.
        return state ?? (await loadCopy());
      } catch (error) {
        if (error instanceof StoreFormatError) throw error;
        const state = await loadCopy();
        if (state !== null) {
          log.warn('the shared registry cannot be reached; starting with the copy of it', { error });
          return state;
        }
        if (attempt === 0) log.warn('the shared registry cannot be reached and there is no copy; waiting', { error });
      }
      await sleep(retryMs, undefined, { ...(signal && { signal }) });
    }
  }

  async function loadCopy(): Promise<StoredState | null> {
    const state = (await copy?.load()) ?? null;
    isCopy = state !== null;
    return state;
  }

  return {
    async load() {
      isCopy = false;
      const state = hasAsked ? await shared.load() : await loadFirst();
      if (!isCopy) keep(state);
      return state;
    },
    async save(state, expected) {
      if (isCopy) {
        // The copy has no place in the past of the shared registry: it may fill an empty one, and yields to any other.
        const present = await shared.load();
        hasAsked = true;
        isCopy = false;
        if (present !== null) throw new StoreConflict();
        await shared.save(state, 0);
      } else {
        await shared.save(state, expected);
      }
      keep(state);
    },
    ...(shared.shared && { shared: shared.shared }),
    async [Symbol.asyncDispose]() {
      await shared[Symbol.asyncDispose]();
      await copy?.[Symbol.asyncDispose]();
    },
  };
}
