/**
 * Changes that wait for their turn, made together. A graph of hundreds of services takes so long to compose that, at a
 * restart, each service would wait for the compositions of all the others. Every change is built on the one before, as if
 * they were made one by one; composed, saved and published is only what the last one leaves.
 */
import type { AuditNote } from './audit.ts';
import type { Change, ChangeOptions, Proposal } from './change.ts';
import type { NewGeneration } from './history.ts';
import { assertNoRouteConflicts } from './route-conflicts.ts';
import type { Snapshot } from './snapshot.ts';

export type BuildProposal<A> = (current: Snapshot, revision: number) => Proposal<A> | Promise<Proposal<A>>;

const maxBatch = 100;

/** A change whose caller waits. What it came to is said once. */
export class WaitingChange<A> {
  readonly note: AuditNote;
  readonly build: BuildProposal<A>;
  readonly options: ChangeOptions;
  readonly #outcome = Promise.withResolvers<Change<A>>();
  #isSettled = false;

  constructor(note: AuditNote, build: BuildProposal<A>, options: ChangeOptions) {
    this.note = note;
    this.build = build;
    this.options = options;
    // It may fail with others, before its caller's turn to look has come.
    this.#outcome.promise.catch(() => {});
  }

  get outcome(): Promise<Change<A>> {
    return this.#outcome.promise;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  resolve(change: Change<A>): void {
    this.#isSettled = true;
    this.#outcome.resolve(change);
  }

  reject(error: unknown): void {
    this.#isSettled = true;
    this.#outcome.reject(error);
  }
}

/** Takes the first of those that wait, and all right behind it that can be made together with it. */
export function takeBatch<A>(waiting: WaitingChange<A>[]): WaitingChange<A>[] {
  const apart = waiting.findIndex((change) => !canBeShared(change.options));
  const shared = apart === -1 ? waiting.length : apart;
  return waiting.splice(0, Math.min(Math.max(shared, 1), maxBatch));
}

/** What is only tried, or held to other rules, is decided by itself. */
function canBeShared({ dryRun = false, evenUnsaved = false, force = false }: ChangeOptions): boolean {
  return !dryRun && !evenUnsaved && !force;
}

/** One change, built. */
export interface ChangeStep<A> {
  readonly change: WaitingChange<A>;
  readonly proposal: Proposal<A>;
  readonly before: Snapshot;
  /** The same as before when there was nothing to do. */
  readonly after: Snapshot;
}

export interface BuiltSteps<A> {
  readonly steps: readonly ChangeStep<A>[];
  /** Changes that cannot be made, whatever the others are. */
  readonly failed: readonly { readonly change: WaitingChange<A>; readonly error: unknown }[];
}

/** Builds each change on the one before. */
export async function buildSteps<A>(from: Snapshot, changes: readonly WaitingChange<A>[]): Promise<BuiltSteps<A>> {
  const steps: ChangeStep<A>[] = [];
  const failed: { change: WaitingChange<A>; error: unknown }[] = [];
  let before = from;
  for (const change of changes) {
    try {
      const revision = before.revision + 1;
      const proposal = await change.build(before, revision);
      const isSame = proposal.snapshot === before;
      const after = isSame ? before : { ...proposal.snapshot, revision };
      if (!isSame) assertNoRouteConflicts(after.services);
      steps.push({ change, proposal, before, after });
      before = after;
    } catch (error) {
      failed.push({ change, error });
    }
  }
  return { steps, failed };
}

/** What the history says of a generation that several changes made. */
export function joinNotes(notes: readonly AuditNote[]): NewGeneration['note'] {
  const [first, ...rest] = notes;
  if (first === undefined) throw new TypeError('a change has a note');
  if (rest.length === 0) return first;
  const join = (texts: readonly (string | undefined)[]): string =>
    [...new Set(texts.filter((text) => text !== undefined))].join(', ');
  const reason = join(notes.map((note) => note.reason));
  return {
    author: join(notes.map(({ author }) => author)),
    action: rest.every(({ action }) => action === first.action) ? first.action : 'services.put',
    targets: [...new Set(notes.flatMap(({ targets }) => targets))],
    ...(reason !== '' && { reason }),
  };
}
