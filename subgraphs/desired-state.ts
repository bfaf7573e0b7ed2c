/**
 * The one place where the desired state changes: one change after the other, each admitted, saved, and only then
 * published. What is refused leaves no trace but a line in the audit.
 */
import { type ErrorReason, GatewayError, toGatewayError } from '../policies/errors.ts';
import { type AuditEntry, type AuditNote, withAccepted, withRefused } from './audit.ts';
import type { Clock, Timer } from './clock.ts';
import { type HistoryChange, type HistoryEntry, type NewGeneration, trim, withGeneration } from './history.ts';
import type { Log } from './log.ts';
import { assertNoRouteConflicts } from './route-conflicts.ts';
import { buildGraphFingerprint, emptySnapshot, isComposed, type Snapshot } from './snapshot.ts';
import type { Store } from './store.ts';

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

export interface DesiredStateOptions<A> {
  readonly store: Store;
  readonly admit: Admit<A>;
  readonly clock: Clock;
  readonly log: Log;
  readonly summarize: Summarize<A>;
  /** Generations that are kept. */
  readonly maxHistory: number;
  /** Called with every new snapshot, at once. */
  readonly publish: (snapshot: Snapshot, admission: A, graphChanged: boolean) => void;
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
  /** Whether the change holds although it cannot be saved: for those that nobody could refuse. */
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

export interface DesiredState<A> {
  readonly snapshot: Snapshot;
  readonly admission: A;
  readonly audit: readonly AuditEntry[];
  /** The generations of the graph, oldest first. */
  readonly history: readonly HistoryEntry[];
  /** Changes that wait for the one under way. */
  readonly waiting: number;
  /** Admits a candidate, after what no composition would notice. */
  admit(candidate: Snapshot, options?: AdmitOptions): Promise<A>;
  /** Waits for its turn, then builds the proposal and makes it the state. */
  change(
    note: AuditNote,
    build: (current: Snapshot, revision: number) => Proposal<A> | Promise<Proposal<A>>,
    options?: ChangeOptions,
  ): Promise<Change<A>>;
  /** Runs something that leads to a change, and notes it in the audit when it is refused. */
  noteRefusal<T>(note: AuditNote, options: ChangeOptions, run: () => Promise<T>): Promise<T>;
  /** Waits for its turn, then makes this the state, whatever the store says. For the start. */
  begin(build: () => Promise<Beginning<A>>): Promise<void>;
  /** Ends after the changes that have begun. Later ones are refused. */
  close(): Promise<void>;
}

export interface Beginning<A> {
  readonly snapshot: Snapshot;
  readonly admission: A;
  readonly audit: readonly AuditEntry[];
  readonly history: readonly HistoryEntry[];
}

/** Refusals are saved with the next change, or after so long. */
const saveRefusalsAfterMs = 1_000;

export function createDesiredState<A>(options: DesiredStateOptions<A>): DesiredState<A> {
  const { store, clock, log, publish, summarize, maxHistory } = options;
  let state: { snapshot: Snapshot; admission: A; fingerprint: string } | null = null;
  let audit: readonly AuditEntry[] = [];
  let history: readonly HistoryEntry[] = [];
  let auditTimer: Timer | null = null;
  let closed = false;
  let waiting = 0;
  let tail: Promise<unknown> = Promise.resolve();

  function enqueue<T>(job: () => Promise<T>): Promise<T> {
    if (closed) return Promise.reject(unavailable('the gateway is shutting down'));
    waiting += 1;
    const run = tail.then(() => {
      waiting -= 1;
      return job();
    });
    tail = run.catch(() => {});
    return run;
  }

  function started() {
    if (state === null) throw unavailable('the registry has not been loaded yet');
    return state;
  }

  async function admit(candidate: Snapshot, how?: AdmitOptions): Promise<A> {
    assertMergeIsForPlain(candidate);
    return options.admit(candidate, state?.snapshot ?? emptySnapshot, how);
  }

  /** The history with the graph of this snapshot in it. */
  function withGraph(
    entries: readonly HistoryEntry[],
    note: NewGeneration['note'],
    { snapshot, admission, fingerprint }: { snapshot: Snapshot; admission: A; fingerprint: string },
  ): readonly HistoryEntry[] {
    const { graph, changes } = summarize(admission, fingerprint);
    return withGeneration(entries, { graph, changes, snapshot, note, at: clock.date() }, maxHistory);
  }

  async function save(
    snapshot: Snapshot,
    entries: readonly AuditEntry[],
    generations: readonly HistoryEntry[] = history,
  ): Promise<void> {
    try {
      await store.save({ formatVersion: 1, snapshot, audit: entries, history: generations });
    } catch (cause) {
      log.error('the registry cannot be saved', { error: cause });
      throw new GatewayError('SERVICE_UNAVAILABLE', 'the registry cannot be saved; nothing was changed', { cause });
    }
  }

  const saveUnlessRequired: typeof save = async (...what) => {
    await save(...what).catch(() => {}); // logged; the next change saves it all
  };

  function saveRefusalsLater(): void {
    auditTimer ??= clock.setTimer(() => {
      auditTimer = null;
      enqueue(async () => {
        if (state !== null) await saveUnlessRequired(state.snapshot, audit);
      }).catch(() => {});
    }, saveRefusalsAfterMs);
  }

  return {
    get snapshot() {
      return state?.snapshot ?? emptySnapshot;
    },
    get admission() {
      return started().admission;
    },
    get audit() {
      return audit;
    },
    get history() {
      return history;
    },
    get waiting() {
      return waiting;
    },
    admit,

    change(note, build, { dryRun, evenUnsaved, force } = {}) {
      return enqueue(async () => {
        const current = started();
        const before = current.snapshot;
        const revision = before.revision + 1;
        const proposal = await build(before, revision);
        const unchanged = { before, after: before, admission: current.admission, changed: false, graphChanged: false };
        if (proposal.snapshot === before) return unchanged;
        const snapshot: Snapshot = { ...proposal.snapshot, revision };
        assertNoRouteConflicts(snapshot.services);
        const fingerprint = buildGraphFingerprint(snapshot);
        const graphChanged = fingerprint !== current.fingerprint;
        const admission = graphChanged ? (proposal.admission ?? (await admit(snapshot, { force }))) : current.admission;
        const result = { before, after: snapshot, admission, changed: true, graphChanged };
        if (dryRun === true) return result;
        const withThis = () => withAccepted(audit, note, revision, clock, proposal.reasons);
        const generations = graphChanged ? withGraph(history, note, { snapshot, admission, fingerprint }) : history;
        await (evenUnsaved === true ? saveUnlessRequired : save)(snapshot, withThis(), generations);
        audit = withThis(); // once more: refusals may have been noted meanwhile
        history = generations;
        state = { snapshot, admission, fingerprint };
        publish(snapshot, admission, graphChanged);
        return result;
      });
    },

    async noteRefusal(note, { dryRun }, run) {
      try {
        return await run();
      } catch (thrown) {
        const error = toGatewayError(thrown);
        // What is not there cannot be changed: nothing was refused. A heartbeat of a deleted service ends here.
        if (dryRun !== true && !closed && error.code !== 'ROUTE_NOT_FOUND') {
          audit = withRefused(audit, note, state?.snapshot.revision ?? 0, clock, error);
          saveRefusalsLater();
        }
        throw error;
      }
    },

    begin(build) {
      return enqueue(async () => {
        const begun = await build();
        audit = begun.audit;
        state = { ...begun, fingerprint: buildGraphFingerprint(begun.snapshot) };
        history = trim(begun.history, maxHistory);
        const isKnown = history.at(-1)?.graph === summarize(begun.admission, state.fingerprint).graph;
        if (!isKnown) history = withGraph(history, { author: 'config', action: 'start', targets: [] }, state);
        await saveUnlessRequired(begun.snapshot, audit);
        publish(begun.snapshot, begun.admission, true);
      });
    },

    async close() {
      if (closed) return;
      const pending = auditTimer !== null;
      auditTimer?.cancel();
      if (pending) enqueue(async () => saveUnlessRequired(started().snapshot, audit)).catch(() => {});
      closed = true;
      await tail;
    },
  };
}

/** Only after it was asked is it known what a service speaks, so no check of definitions can say this. */
function assertMergeIsForPlain(candidate: Snapshot): void {
  const reasons = candidate.services
    .filter(isComposed)
    .filter((service) => service.schema.kind === 'federation' && service.definition.graphql?.merge !== undefined)
    .map(({ name }) => ({
      service: name,
      path: '/graphql/merge',
      message: `${name} speaks federation: \`merge\` is for plain services; say \`@key\` in the schema instead`,
    }));
  const [first] = reasons;
  if (first !== undefined) throw new GatewayError('REGISTRATION_REFUSED', first.message, { reasons });
}

function unavailable(message: string): GatewayError {
  return new GatewayError('SERVICE_UNAVAILABLE', message, { retryAfterSeconds: 1 });
}
