/**
 * The one place where the desired state changes: one change after the other, each admitted, saved, and only then
 * published. What is refused leaves no trace but a line in the audit.
 */
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import { type AuditEntry, type AuditNote, joinAudit, withAccepted, withRefused } from './audit.ts';
import type { Admit, AdmitOptions, Change, ChangeOptions, Proposal, Summarize } from './change.ts';
import { type AdmittedState, type ChangeStep, createChangeMaker, joinNotes, WaitingChange } from './change-batch.ts';
import type { Clock, Timer } from './clock.ts';
import { type HistoryEntry, type NewGeneration, readHistory, trim, withGeneration } from './history.ts';
import type { Log } from './log.ts';
import { buildGraphFingerprint, emptySnapshot, isComposed, type Snapshot } from './snapshot.ts';
import { type Store, StoreConflict, type StoredState } from './store.ts';

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
  /**
   * Waits for its turn, then makes this the state, whatever the store says. For the start. When a shared store cannot be
   * reached then, it is done once more as soon as it can be.
   */
  begin(build: () => Promise<Beginning<A>>): Promise<void>;
  /** Takes over what other gateways have saved. Rejects when a shared store cannot be asked. */
  refresh(): Promise<void>;
  /** Ends after the changes that have begun. Later ones are refused. */
  close(): Promise<void>;
}

export interface Beginning<A> {
  readonly snapshot: Snapshot;
  readonly admission: A;
  readonly audit: readonly AuditEntry[];
  readonly history: readonly HistoryEntry[];
  /** Revision of the stored state that it was made from; 0 for none. */
  readonly storedRevision: number;
}

/** Refusals are saved with the next change, or after so long. */
const saveRefusalsAfterMs = 1_000;

/** Each conflict means that another gateway got on; this is for one that composes too slowly to ever be first. */
const maxConflicts = 100;

export function createDesiredState<A>(options: DesiredStateOptions<A>): DesiredState<A> {
  const { store, clock, log, publish, summarize, maxHistory } = options;
  let state: AdmittedState<A> | null = null;
  let audit: readonly AuditEntry[] = [];
  /** Entries that the store has. */
  let savedAudit: ReadonlySet<AuditEntry> = new Set();
  let history: readonly HistoryEntry[] = [];
  /** A beginning that a shared store does not know yet. */
  let unsavedBeginning: (() => Promise<void>) | null = null;
  let hasNews = false;
  let isCatchingUp = false;
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
    { snapshot, admission, fingerprint }: AdmittedState<A>,
  ): readonly HistoryEntry[] {
    const { graph, changes } = summarize(admission, fingerprint);
    return withGeneration(entries, { graph, changes, snapshot, note, at: clock.date() }, maxHistory);
  }

  /** `expected`: the revision that the store must be at. */
  async function save(state: Omit<StoredState, 'formatVersion'>, expected: number): Promise<void> {
    try {
      await store.save({ formatVersion: 1, ...state }, expected);
      savedAudit = new Set(state.audit);
    } catch (cause) {
      if (cause instanceof StoreConflict) throw cause;
      log.error('the registry cannot be saved', { error: cause });
      throw unavailable('the registry cannot be saved; nothing was changed', cause);
    }
  }

  async function saveUnlessRequired(...what: Parameters<typeof save>): Promise<void> {
    try {
      await save(...what);
    } catch (error) {
      if (store.shared !== undefined) throw error;
      // Logged; the next change saves it all.
    }
  }

  /** Tries until nobody else saved in between. */
  async function untilSaved<T>(attempt: () => Promise<T>): Promise<T> {
    for (let conflicts = 0; conflicts < maxConflicts; conflicts++) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
        await catchUp();
      }
    }
    throw unavailable('other gateways change the registry faster than this one can compose');
  }

  async function catchUp(): Promise<void> {
    hasNews = false;
    if (state === null) return;
    if (unsavedBeginning !== null) return unsavedBeginning();
    try {
      const stored = await store.load();
      await takeOver(stored, state.snapshot);
    } catch (cause) {
      hasNews = true;
      if (cause instanceof StoreConflict) return catchUp();
      throw unavailable('the shared registry cannot be asked; nothing was changed', cause);
    }
  }

  async function takeOver(stored: StoredState | null, mine: Snapshot): Promise<void> {
    if (stored === null || stored.snapshot.revision < mine.revision) {
      log.warn('the shared registry has lost what was saved last; this gateway puts it back', {
        revision: mine.revision,
        stored: stored?.snapshot.revision ?? 0,
      });
      return save({ snapshot: mine, audit, history }, stored?.snapshot.revision ?? 0);
    }
    audit = joinAudit(
      stored.audit,
      audit.filter((entry) => !savedAudit.has(entry)),
    );
    savedAudit = new Set(stored.audit);
    history = readHistory(stored.history);
    const { snapshot } = stored;
    if (snapshot === mine) return;
    if (snapshot.revision === mine.revision) {
      log.warn('the shared registry holds another state of the same revision; that one counts', {
        revision: mine.revision,
      });
    }
    const current = started();
    const fingerprint = buildGraphFingerprint(snapshot);
    const graphChanged = fingerprint !== current.fingerprint;
    try {
      // Compared with itself: what may change was decided where it was changed, and its diff is nobody's question here.
      const admission = graphChanged ? await options.admit(snapshot, snapshot, { force: true }) : current.admission;
      state = { snapshot, admission, fingerprint };
      publish(snapshot, admission, graphChanged);
    } catch (error) {
      // Another version of the gateway, most likely. Instances and routes are as good here as there.
      log.error('a graph that another gateway has admitted does not compose here; the one before serves on', { error });
      state = { snapshot, admission: current.admission, fingerprint: current.fingerprint };
      publish(snapshot, current.admission, false);
    }
  }

  /** Many changes of others that come close together are one to catch up with. */
  function onNews(): void {
    if (closed) return;
    hasNews = true;
    if (isCatchingUp) return;
    isCatchingUp = true;
    enqueue(async () => {
      isCatchingUp = false;
      if (hasNews) await catchUp();
    }).catch(() => {}); // said by the store
  }
  const unwatch = store.shared?.watch(onNews);

  /** Saves what the changes made, and publishes it. */
  async function become(next: AdmittedState<A>, made: readonly ChangeStep<A>[], graphChanged: boolean): Promise<void> {
    const before = started().snapshot;
    const known = new Set(audit);
    let entries = audit;
    for (const { change, proposal, after } of made) {
      entries = withAccepted(entries, change.note, after.revision, clock, proposal.reasons);
    }
    const note = joinNotes(made.map(({ change }) => change.note));
    const generations = graphChanged ? withGraph(history, note, next) : history;
    const stored = { snapshot: next.snapshot, audit: entries, history: generations };
    const evenUnsaved = made.some(({ change }) => change.options.evenUnsaved === true);
    await (evenUnsaved ? saveUnlessRequired : save)(stored, before.revision);
    // Refusals may have been noted meanwhile.
    audit = joinAudit(
      entries,
      audit.filter((noted) => !known.has(noted)),
    );
    history = generations;
    state = next;
    publish(next.snapshot, next.admission, graphChanged);
  }

  async function saveAudit(): Promise<void> {
    const { snapshot } = started();
    if (unsavedBeginning === null) await saveUnlessRequired({ snapshot, audit, history }, snapshot.revision);
  }

  function saveRefusalsLater(): void {
    auditTimer ??= clock.setTimer(() => {
      auditTimer = null;
      enqueue(async () => {
        if (state !== null) await untilSaved(async () => saveAudit());
      }).catch(() => {});
    }, saveRefusalsAfterMs);
  }

  const maker = createChangeMaker<A>({
    current: started,
    admit,
    become,
    untilSaved: async (attempt) => {
      if (hasNews) await catchUp();
      return untilSaved(attempt);
    },
  });

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

    change(note, build, changeOptions = {}) {
      const change = new WaitingChange<A>(note, build, changeOptions);
      if (!closed) maker.add(change);
      return enqueue(() => maker.make(change));
    },

    async noteRefusal(note, { dryRun }, run) {
      try {
        return await run();
      } catch (thrown) {
        const error = toGatewayError(thrown);
        // What is not there cannot be changed: nothing was refused. A heartbeat of a deleted service ends here.
        // Nor was anything decided while the shared registry is away.
        const isAway = store.shared !== undefined && error.code === 'SERVICE_UNAVAILABLE';
        if (dryRun !== true && !closed && error.code !== 'ROUTE_NOT_FOUND' && !isAway) {
          audit = withRefused(audit, note, state?.snapshot.revision ?? 0, clock, error);
          saveRefusalsLater();
        }
        throw error;
      }
    },

    refresh: () => (store.shared === undefined ? Promise.resolve() : enqueue(catchUp)),

    begin(build) {
      const first = async (isRequired: boolean): Promise<void> => {
        const begun = await build();
        const { snapshot, admission, storedRevision } = begun;
        const fingerprint = buildGraphFingerprint(snapshot);
        const next = { snapshot, admission, fingerprint };
        const entries = joinAudit(
          begun.audit,
          audit.filter((entry) => !savedAudit.has(entry)),
        );
        const known = trim(begun.history, maxHistory);
        const isKnown = known.at(-1)?.graph === summarize(admission, fingerprint).graph;
        const note = { author: 'config', action: 'start', targets: [] } as const;
        const generations = isKnown ? known : withGraph(known, note, next);
        try {
          await saveUnlessRequired({ snapshot, audit: entries, history: generations }, storedRevision);
          unsavedBeginning = null;
        } catch (error) {
          if (error instanceof StoreConflict) return first(isRequired);
          if (isRequired) throw error;
          unsavedBeginning = () => first(true);
        }
        audit = entries;
        history = generations;
        const graphChanged = state?.fingerprint !== fingerprint;
        state = next;
        publish(snapshot, admission, graphChanged);
      };
      return enqueue(() => first(false));
    },

    async close() {
      if (closed) return;
      const pending = auditTimer !== null;
      auditTimer?.cancel();
      unwatch?.();
      if (pending) enqueue(saveAudit).catch(() => {});
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

function unavailable(message: string, cause?: unknown): GatewayError {
  return new GatewayError('SERVICE_UNAVAILABLE', message, { retryAfterSeconds: 1, cause });
}
