/** The audit as one gateway knows it: what the store has, and behind that what was noted here and is not saved yet. */
import type { ErrorReason, GatewayError } from '../policies/errors.ts';
import { type AuditEntry, type AuditNote, joinAudit, withAccepted, withRefused } from './audit.ts';
import type { Clock } from './clock.ts';

/** A change that was made. */
export interface AcceptedChange {
  readonly note: AuditNote;
  /** The one that it made. */
  readonly revision: number;
  readonly reasons?: readonly ErrorReason[] | undefined;
}

export class AuditTrail {
  readonly #clock: Clock;
  #entries: readonly AuditEntry[] = [];
  /** Entries that the store has. */
  #saved: ReadonlySet<AuditEntry> = new Set();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Oldest first. */
  get entries(): readonly AuditEntry[] {
    return this.#entries;
  }

  /** The list as it is with these changes. They are noted only with {@link advance}. */
  withChanges(changes: readonly AcceptedChange[]): readonly AuditEntry[] {
    return changes.reduce(
      (entries, { note, revision, reasons }) => withAccepted(entries, note, revision, this.#clock, reasons),
      this.#entries,
    );
  }

  /** The list as it is behind what a store has. */
  withUnsaved(common: readonly AuditEntry[]): readonly AuditEntry[] {
    return joinAudit(
      common,
      this.#entries.filter((entry) => !this.#saved.has(entry)),
    );
  }

  /** A list that was made from an earlier one counts; behind it stands what was noted meanwhile. */
  advance(from: readonly AuditEntry[], to: readonly AuditEntry[]): void {
    const known = new Set(from);
    this.#entries = joinAudit(
      to,
      this.#entries.filter((entry) => !known.has(entry)),
    );
  }

  noteAccepted(note: AuditNote, revision: number): void {
    this.#entries = withAccepted(this.#entries, note, revision, this.#clock);
  }

  noteRefused(note: AuditNote, revision: number, error: GatewayError): void {
    this.#entries = withRefused(this.#entries, note, revision, this.#clock, error);
  }

  /** The store has these. */
  markSaved(entries: readonly AuditEntry[]): void {
    this.#saved = new Set(entries);
  }
}
