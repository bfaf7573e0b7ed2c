/** Where the registry survives a restart. Memory and file stores pass the same tests. */
import type { AuditEntry } from './audit.ts';
import type { HistoryEntry } from './history.ts';
import type { Snapshot } from './snapshot.ts';

export interface StoredState {
  readonly formatVersion: 1;
  readonly snapshot: Snapshot;
  readonly audit: readonly AuditEntry[];
  /** The generations of the graph, oldest first. Missing in what older versions wrote. */
  readonly history?: readonly HistoryEntry[];
}

export interface Store extends AsyncDisposable {
  /** The state that was saved last, or null when there is none that can be read. */
  load(): Promise<StoredState | null>;
  /**
   * Resolves when this state, or one that was saved after it, survives a crash. Rejects when it could not be written.
   * States are written in the order in which they are given; one that nobody waits for any more may be left out.
   */
  save(state: StoredState): Promise<void>;
}
