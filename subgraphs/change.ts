/** What a change of the desired state is: proposed, admitted, and what it came to. */
import type { ErrorReason } from '../policies/errors.ts';
import type { AuditEntry } from './audit.ts';
import type { HistoryChange, HistoryEntry } from './history.ts';
import type { Snapshot } from './snapshot.ts';

export interface AdmitOptions {
  /** Whether the policy on changes of the schema is left aside: for what happened already, or what an operator insists on. */
  readonly force?: boolean | undefined;
}

/** Composes the graph of a snapshot: of its services that have a schema and are not in quarantine. */
export type Admit<A> = (candidate: Snapshot, current: Snapshot, options?: AdmitOptions) => Promise<A>;

/** What the history wants to know of what admitted a graph. */
export type Summarize<A> = (admission: A, fingerprint: string) => SchemaSummary;

export interface SchemaSummary {
  /** Id of the graph. */
  readonly graph: string;
  readonly changes: readonly HistoryChange[];
}

/** What a change makes of the snapshot before it. The same snapshot means that there is nothing to do. */
export interface Proposal<A> {
  readonly snapshot: Snapshot;
  /** What admitted the graph of this snapshot, when that is known already. */
  readonly admission?: A | null;
  /** For the audit: what was left out. */
  readonly reasons?: readonly ErrorReason[];
}

export interface ChangeOptions {
  /** Only look whether it would be accepted. */
  readonly dryRun?: boolean | undefined;
  /**
   * Whether the change holds although it cannot be saved: for those that nobody could refuse. In a shared store no
   * change holds unsaved, or gateways would go different ways.
   */
  readonly evenUnsaved?: boolean;
  readonly force?: boolean | undefined;
}

export interface Change<A> {
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly admission: A;
  readonly changed: boolean;
  readonly graphChanged: boolean;
}

/** What a gateway starts with. */
export interface Beginning<A> {
  readonly snapshot: Snapshot;
  readonly admission: A;
  readonly audit: readonly AuditEntry[];
  readonly history: readonly HistoryEntry[];
  /** Revision of the stored state that it was made from; 0 for none. */
  readonly storedRevision: number;
}
