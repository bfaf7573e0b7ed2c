/** Where the registry survives a restart. The memory, file and Redis stores pass the same tests. */
import type { AuditEntry } from './audit.ts';
import type { Clock } from './clock.ts';
import type { HistoryEntry } from './history.ts';
import type { ExpiredLease, Leases } from './leases.ts';
import type { Snapshot } from './snapshot.ts';

export interface StoredState {
  readonly formatVersion: 1;
  readonly snapshot: Snapshot;
  readonly audit: readonly AuditEntry[];
  /**
   * The generations of the graph. Bounded, newest last; an entry never changes. The stores keep it as they keep the audit.
   * Missing in what older versions wrote.
   */
  readonly history?: readonly HistoryEntry[];
}

export interface Store extends AsyncDisposable {
  /** The state that was saved last, or null when there is none that can be read. */
  load(): Promise<StoredState | null>;
  /**
   * Resolves when this state, or one that was saved after it, survives a crash. Rejects when it could not be written.
   * States are written in the order in which they are given; one that nobody waits for any more may be left out.
   *
   * `expected` is the revision that the state was made from, 0 for none. When the store holds a newer one by now, it
   * rejects with a {@link StoreConflict} and nothing is written: load, make the change again, try again.
   */
  save(state: StoredState, expected?: number): Promise<void>;
  /** What only a store has that other gateways write to as well. */
  readonly shared?: SharedStore;
}

export interface SharedStore {
  /** Calls back soon after another gateway has saved something; `load` tells what. The returned function ends it. */
  watch(listener: () => void): () => void;
  /** Leases that all gateways see, by the store's own time. */
  createLeases(onExpire: (expired: readonly ExpiredLease[]) => void, clock: Clock): Leases;
}

/** Somebody else saved in between. */
export class StoreConflict extends Error {
  constructor() {
    super('the store holds a newer state than the one that was changed');
    this.name = 'StoreConflict';
  }
}

/** The store holds what this version cannot read. It must not be overwritten, and waiting does not help. */
export class StoreFormatError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StoreFormatError';
  }
}
