/**
 * Changes that wait for their turn, made together. A graph of hundreds of services takes so long to compose that, at a
 * restart, each service would wait for the compositions of all the others. Every change is built on the one before, as if
 * they were made one by one; composed, saved and published is only what the last one leaves.
 */
import { setImmediate } from 'node:timers/promises';
import type { AuditNote } from './audit.ts';
import type { AdmitOptions, Change, ChangeOptions, Proposal } from './change.ts';
import type { NewGeneration } from './history.ts';
import { assertNoRouteConflicts } from './route-conflicts.ts';
import { buildGraphFingerprint, type Snapshot } from './snapshot.ts';

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
function takeBatch<A>(waiting: WaitingChange<A>[]): WaitingChange<A>[] {
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

interface BuiltSteps<A> {
  readonly steps: readonly ChangeStep<A>[];
  /** Changes that cannot be made, whatever the others are. */
  readonly failed: readonly { readonly change: WaitingChange<A>; readonly error: unknown }[];
}

/** Builds each change on the one before. */
async function buildSteps<A>(from: Snapshot, changes: readonly WaitingChange<A>[]): Promise<BuiltSteps<A>> {
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
export function joinNotes(all: readonly AuditNote[]): NewGeneration['note'] {
  // Policies are no part of the graph: who wrote one meanwhile did not make the generation.
  const others = all.filter(({ action }) => !action.startsWith('policy.'));
  const notes = others.length === 0 ? all : others;
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

/** The desired state, as far as changes are made to it. */
export interface ChangeTarget<A> {
  current(): AdmittedState<A>;
  admit(candidate: Snapshot, options: AdmitOptions): Promise<A>;
  /** Saves and publishes. Rejects when somebody else saved in between. */
  become(next: AdmittedState<A>, made: readonly ChangeStep<A>[], graphChanged: boolean): Promise<void>;
  /** Tries until nobody else saved in between. */
  untilSaved(attempt: () => Promise<void>): Promise<void>;
}

export interface AdmittedState<A> {
  readonly snapshot: Snapshot;
  readonly admission: A;
  /** Of the graph. */
  readonly fingerprint: string;
}

export interface ChangeMaker<A> {
  /** It waits for its turn from now on, and may be made with others before. */
  add(change: WaitingChange<A>): void;
  /** It is its turn. Resolves with what it came to. One turn after the other. */
  make(change: WaitingChange<A>): Promise<Change<A>>;
}

export function createChangeMaker<A>(target: ChangeTarget<A>): ChangeMaker<A> {
  const waiting: WaitingChange<A>[] = [];

  /** Says to each what became of it. Never rejects. */
  async function makeChanges(batch: readonly WaitingChange<A>[]): Promise<void> {
    try {
      await makeUntilSaved(batch);
    } catch (error) {
      for (const change of batch) if (!change.isSettled) change.reject(error);
    }
  }

  function makeUntilSaved(batch: readonly WaitingChange<A>[]): Promise<void> {
    return target.untilSaved(() => makeTogether(batch.filter(({ isSettled }) => !isSettled)));
  }

  async function makeTogether(batch: readonly WaitingChange<A>[]): Promise<void> {
    const current = target.current();
    const { steps, failed } = await buildSteps(current.snapshot, batch);
    const made = steps.filter(({ before, after }) => after !== before);
    const snapshot = made.at(-1)?.after ?? current.snapshot;
    const fingerprint = buildGraphFingerprint(snapshot);
    const graphChanged = fingerprint !== current.fingerprint;
    const [first, second] = made;
    let { admission } = current;
    try {
      const admitted = second === undefined ? first?.proposal.admission : undefined;
      if (graphChanged) admission = admitted ?? (await target.admit(snapshot, { force: first?.change.options.force }));
    } catch (error) {
      if (second !== undefined) return makeInHalves(batch);
      const refused = made.map(({ change }) => ({ change, error }));
      const untouched = steps.filter(({ before, after }) => after === before);
      return settle([...failed, ...refused], untouched, current.admission, false);
    }
    if (first !== undefined && first.change.options.dryRun !== true) {
      await target.become({ snapshot, admission, fingerprint }, made, graphChanged);
    }
    settle(failed, steps, admission, graphChanged);
  }

  /** One of them does not compose with the others, or is against the policy: it shall not take them along. */
  async function makeInHalves(batch: readonly WaitingChange<A>[]): Promise<void> {
    const middle = Math.ceil(batch.length / 2);
    await makeUntilSaved(batch.slice(0, middle));
    await makeUntilSaved(batch.slice(middle));
  }

  return {
    add: (change) => void waiting.push(change),
    async make(change) {
      // Those that came while the one before was composed are read only now.
      if (!change.isSettled) await letOthersCome();
      // Unless it was made together with one that came before.
      if (!change.isSettled) await makeChanges(takeBatch(waiting));
      return change.outcome;
    },
  };
}

function settle<A>(
  failed: BuiltSteps<A>['failed'],
  steps: readonly ChangeStep<A>[],
  admission: A,
  graphChanged: boolean,
): void {
  for (const { change, error } of failed) change.reject(error);
  for (const { change, before, after } of steps) {
    const changed = after !== before;
    change.resolve({ before, after, admission, changed, graphChanged: changed && graphChanged });
  }
}

/** Turns of the event loop in which a request comes from its socket to its change. */
const arrivalTurns = 8;

async function letOthersCome(): Promise<void> {
  for (let turn = 0; turn < arrivalTurns; turn++) await setImmediate();
}
