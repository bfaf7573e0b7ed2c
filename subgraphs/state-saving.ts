/** How the desired state gets into the store, and what it means when it does not. */
import type { AuditTrail } from './audit-trail.ts';
import type { Log } from './log.ts';
import { type Store, StoreConflict, type StoredState } from './store.ts';
import { unavailable } from './turns.ts';

export interface StateSaving {
  /** `expected`: the revision that the store must be at. */
  save(state: Omit<StoredState, 'formatVersion'>, expected: number): Promise<void>;
  /** The same for what holds although it is not saved. In a shared store nothing does. */
  saveUnlessRequired(state: Omit<StoredState, 'formatVersion'>, expected: number): Promise<void>;
  /** Tries until nobody else saved in between. */
  untilSaved<T>(attempt: () => Promise<T>, catchUp: () => Promise<void>): Promise<T>;
}

/** Each conflict means that another gateway got on; this is for one that composes too slowly to ever be first. */
const maxConflicts = 100;

export function createStateSaving(store: Store, audit: AuditTrail, log: Log): StateSaving {
  const save: StateSaving['save'] = async (state, expected) => {
    try {
      await store.save({ formatVersion: 1, ...state }, expected);
      audit.markSaved(state.audit);
    } catch (cause) {
      if (cause instanceof StoreConflict) throw cause;
      log.error('the registry cannot be saved', { error: cause });
      throw unavailable('the registry cannot be saved; nothing was changed', cause);
    }
  };
  return {
    save,
    async saveUnlessRequired(state, expected) {
      try {
        await save(state, expected);
      } catch (error) {
        if (store.shared !== undefined) throw error;
        // Logged; the next change saves it all.
      }
    },
    async untilSaved(attempt, catchUp) {
      for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
        try {
          return await attempt();
        } catch (error) {
          if (!(error instanceof StoreConflict)) throw error;
          await catchUp();
        }
      }
      throw unavailable('other gateways change the registry faster than this one can compose');
    },
  };
}
