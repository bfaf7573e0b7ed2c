/**
 * The one place where the desired state changes: one change after the other, each admitted, saved, and only then
 * published. What is refused leaves no trace but a line in the audit.
 */
import { toGatewayError } from '../policies/errors.ts';
import type { AuditEntry, AuditNote } from './audit.ts';
import { AuditTrail } from './audit-trail.ts';
import type { Admit, AdmitOptions, Beginning, Change, ChangeOptions, Proposal, Summarize } from './change.ts';
import { type AdmittedState, type ChangeStep, createChangeMaker, joinNotes, WaitingChange } from './change-batch.ts';
import type { Clock, Timer } from './clock.ts';
import { type HistoryEntry, type NewGeneration, readHistory, trim, withGeneration } from './history.ts';
import type { Log } from './log.ts';
import { assertMergeIsForPlain } from './merge-check.ts';
import { buildGraphFingerprint, emptySnapshot, type Snapshot } from './snapshot.ts';
import { createStateSaving } from './state-saving.ts';
import { type Store, StoreConflict, type StoredState } from './store.ts';
import { Turns, unavailable } from './turns.ts';

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
  /** Notes what was done beside the registry. */
  noteAccepted(note: AuditNote): void;
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

/** What changes no snapshot is saved with the next change, or after so long. */
const saveAuditAfterMs = 1_000;

export function createDesiredState<A>(options: DesiredStateOptions<A>): DesiredState<A> {
  const { store, clock, log, publish, summarize, maxHistory } = options;
  const turns = new Turns();
  const audit = new AuditTrail(clock);
  const { save, saveUnlessRequired, untilSaved } = createStateSaving(store, audit, log);
  let state: AdmittedState<A> | null = null;
  let history: readonly HistoryEntry[] = [];
  /** A beginning that a shared store does not know yet. */
  let unsavedBeginning: (() => Promise<void>) | null = null;
  let hasNews = false;
  let isCatchingUp = false;
  let auditTimer: Timer | null = null;

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
      return save({ snapshot: mine, audit: audit.entries, history }, stored?.snapshot.revision ?? 0);
    }
    audit.advance(audit.entries, audit.withUnsaved(stored.audit));
    audit.markSaved(stored.audit);
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
    if (turns.isClosed) return;
    hasNews = true;
    if (isCatchingUp) return;
    isCatchingUp = true;
    turns
      .take(async () => {
        isCatchingUp = false;
        if (hasNews) await catchUp();
      })
      .catch(() => {}); // said by the store
  }
  const unwatch = store.shared?.watch(onNews);

  /** Saves what the changes made, and publishes it. */
  async function become(next: AdmittedState<A>, made: readonly ChangeStep<A>[], graphChanged: boolean): Promise<void> {
    const before = started().snapshot;
    const known = audit.entries;
    const entries = audit.withChanges(
      made.map(({ change: { note }, proposal: { reasons }, after: { revision } }) => ({ note, revision, reasons })),
    );
    const note = joinNotes(made.map(({ change }) => change.note));
    const generations = graphChanged ? withGraph(history, note, next) : history;
    const stored = { snapshot: next.snapshot, audit: entries, history: generations };
    const evenUnsaved = made.some(({ change }) => change.options.evenUnsaved === true);
    await (evenUnsaved ? saveUnlessRequired : save)(stored, before.revision);
    audit.advance(known, entries);
    history = generations;
    state = next;
    publish(next.snapshot, next.admission, graphChanged);
  }

  async function saveAudit(): Promise<void> {
    const { snapshot } = started();
    if (unsavedBeginning === null) {
      await saveUnlessRequired({ snapshot, audit: audit.entries, history }, snapshot.revision);
    }
  }

  function saveAuditLater(): void {
    auditTimer ??= clock.setTimer(() => {
      auditTimer = null;
      turns
        .take(async () => {
          if (state !== null) await untilSaved(saveAudit, catchUp);
        })
        .catch(() => {});
    }, saveAuditAfterMs);
  }

  const maker = createChangeMaker<A>({
    current: started,
    admit,
    become,
    untilSaved: async (attempt) => {
      if (hasNews) await catchUp();
      return untilSaved(attempt, catchUp);
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
      return audit.entries;
    },
    get history() {
      return history;
    },
    get waiting() {
      return turns.waiting;
    },
    admit,

    change(note, build, changeOptions = {}) {
      const change = new WaitingChange<A>(note, build, changeOptions);
      if (!turns.isClosed) maker.add(change);
      return turns.take(() => maker.make(change));
    },

    noteAccepted(note) {
      audit.noteAccepted(note, state?.snapshot.revision ?? 0);
      saveAuditLater();
    },

    async noteRefusal(note, { dryRun }, run) {
      try {
        return await run();
      } catch (thrown) {
        const error = toGatewayError(thrown);
        // What is not there cannot be changed: nothing was refused. A heartbeat of a deleted service ends here.
        // Nor was anything decided while the shared registry is away.
        const isAway = store.shared !== undefined && error.code === 'SERVICE_UNAVAILABLE';
        if (dryRun !== true && !turns.isClosed && error.code !== 'ROUTE_NOT_FOUND' && !isAway) {
          audit.noteRefused(note, state?.snapshot.revision ?? 0, error);
          saveAuditLater();
        }
        throw error;
      }
    },

    refresh: () => (store.shared === undefined ? Promise.resolve() : turns.take(catchUp)),

    begin(build) {
      const first = async (isRequired: boolean): Promise<void> => {
        const begun = await build();
        const { snapshot, admission, storedRevision } = begun;
        const fingerprint = buildGraphFingerprint(snapshot);
        const next = { snapshot, admission, fingerprint };
        const noted = audit.entries;
        const entries = audit.withUnsaved(begun.audit);
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
        audit.advance(noted, entries);
        history = generations;
        const graphChanged = state?.fingerprint !== fingerprint;
        state = next;
        publish(snapshot, admission, graphChanged);
      };
      return turns.take(() => first(false));
    },

    async close() {
      if (turns.isClosed) return;
      const pending = auditTimer !== null;
      auditTimer?.cancel();
      unwatch?.();
      if (pending) turns.take(saveAudit).catch(() => {});
      await turns.close();
    },
  };
}
