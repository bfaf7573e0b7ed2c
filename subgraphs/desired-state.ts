/**
 * The one place where the desired state changes: one change after the other, each admitted, saved, and only then
 * published. What is refused leaves no trace but a line in the audit.
 */
import { type ErrorReason, GatewayError, toGatewayError } from '../policies/errors.ts';
import { type AuditEntry, type AuditNote, joinAudit, withAccepted, withRefused } from './audit.ts';
import type { Clock, Timer } from './clock.ts';
import type { Log } from './log.ts';
import { assertNoRouteConflicts } from './route-conflicts.ts';
import { buildGraphFingerprint, emptySnapshot, isComposed, type Snapshot } from './snapshot.ts';
import { type Store, StoreConflict, type StoredState } from './store.ts';

/** Composes the graph of a snapshot: of its services that have a schema and are not in quarantine. */
export type Admit<A> = (candidate: Snapshot, current: Snapshot) => Promise<A>;

export interface DesiredStateOptions<A> {
  readonly store: Store;
  readonly admit: Admit<A>;
  readonly clock: Clock;
  readonly log: Log;
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
  /**
   * Whether the change holds although it cannot be saved: for those that nobody could refuse. In a shared store no
   * change holds unsaved, or gateways would go different ways.
   */
  readonly evenUnsaved?: boolean;
}

export interface Change<A> {
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly admission: A;
  readonly changed: boolean;
  readonly graphChanged: boolean;
}

interface FirstState<A> {
  readonly snapshot: Snapshot;
  readonly admission: A;
  readonly audit: readonly AuditEntry[];
  /** Revision of the stored state that it was made from; 0 for none. */
  readonly storedRevision: number;
}

export interface DesiredState<A> {
  readonly snapshot: Snapshot;
  readonly admission: A;
  readonly audit: readonly AuditEntry[];
  /** Admits a candidate, after what no composition would notice. */
  admit(candidate: Snapshot): Promise<A>;
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
  begin(build: () => Promise<FirstState<A>>): Promise<void>;
  /** Takes over what other gateways have saved. Rejects when a shared store cannot be asked. */
  refresh(): Promise<void>;
  /** Ends after the changes that have begun. Later ones are refused. */
  close(): Promise<void>;
}

/** Refusals are saved with the next change, or after so long. */
const saveRefusalsAfterMs = 1_000;

/** Each conflict means that another gateway got on; this is for one that composes too slowly to ever be first. */
const maxConflicts = 100;

export function createDesiredState<A>(options: DesiredStateOptions<A>): DesiredState<A> {
  const { store, clock, log, publish } = options;
  let state: { snapshot: Snapshot; admission: A; fingerprint: string } | null = null;
  let audit: readonly AuditEntry[] = [];
  /** Entries that the store has. */
  let savedAudit: ReadonlySet<AuditEntry> = new Set();
  let history: StoredState['history'];
  /** A beginning that a shared store does not know yet. */
  let unsavedBeginning: (() => Promise<void>) | null = null;
  let hasNews = false;
  let isCatchingUp = false;
  let auditTimer: Timer | null = null;
  let closed = false;
  let tail: Promise<unknown> = Promise.resolve();

  function enqueue<T>(job: () => Promise<T>): Promise<T> {
    if (closed) return Promise.reject(unavailable('the gateway is shutting down'));
    const run = tail.then(job);
    tail = run.catch(() => {});
    return run;
  }

  function started() {
    if (state === null) throw unavailable('the registry has not been loaded yet');
    return state;
  }

  async function admit(candidate: Snapshot): Promise<A> {
    assertMergeIsForPlain(candidate);
    return options.admit(candidate, state?.snapshot ?? emptySnapshot);
  }

  async function save(snapshot: Snapshot, entries: readonly AuditEntry[], expected: number): Promise<void> {
    const stored = { formatVersion: 1, snapshot, audit: entries, ...(history !== undefined && { history }) } as const;
    try {
      await store.save(stored, expected);
      savedAudit = new Set(entries);
    } catch (cause) {
      if (cause instanceof StoreConflict) throw cause;
      log.error('the registry cannot be saved', { error: cause });
      throw unavailable('the registry cannot be saved; nothing was changed', cause);
    }
  }

  async function saveUnlessRequired(
    snapshot: Snapshot,
    entries: readonly AuditEntry[],
    expected: number,
  ): Promise<void> {
    try {
      await save(snapshot, entries, expected);
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
      return save(mine, audit, stored?.snapshot.revision ?? 0);
    }
    audit = joinAudit(
      stored.audit,
      audit.filter((entry) => !savedAudit.has(entry)),
    );
    savedAudit = new Set(stored.audit);
    history = stored.history;
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
      const admission = graphChanged ? await options.admit(snapshot, snapshot) : current.admission;
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

  async function saveAudit(): Promise<void> {
    const { snapshot } = started();
    if (unsavedBeginning === null) await saveUnlessRequired(snapshot, audit, snapshot.revision);
  }

  function saveRefusalsLater(): void {
    auditTimer ??= clock.setTimer(() => {
      auditTimer = null;
      enqueue(async () => {
        if (state !== null) await untilSaved(async () => saveAudit());
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
    admit,

    change(note, build, { dryRun, evenUnsaved } = {}) {
      return enqueue(async () => {
        if (hasNews) await catchUp();
        return untilSaved(async () => {
          const current = started();
          const before = current.snapshot;
          const revision = before.revision + 1;
          const proposal = await build(before, revision);
          const { admission: old } = current;
          if (proposal.snapshot === before) {
            return { before, after: before, admission: old, changed: false, graphChanged: false };
          }
          const snapshot: Snapshot = { ...proposal.snapshot, revision };
          assertNoRouteConflicts(snapshot.services);
          const fingerprint = buildGraphFingerprint(snapshot);
          const graphChanged = fingerprint !== current.fingerprint;
          const admission = graphChanged ? (proposal.admission ?? (await admit(snapshot))) : old;
          const result = { before, after: snapshot, admission, changed: true, graphChanged };
          if (dryRun === true) return result;
          const known = new Set(audit);
          const entries = withAccepted(audit, note, revision, clock, proposal.reasons);
          await (evenUnsaved === true ? saveUnlessRequired : save)(snapshot, entries, before.revision);
          // Refusals may have been noted meanwhile.
          audit = joinAudit(
            entries,
            audit.filter((noted) => !known.has(noted)),
          );
          state = { snapshot, admission, fingerprint };
          publish(snapshot, admission, graphChanged);
          return result;
        });
      });
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
        const entries = joinAudit(
          begun.audit,
          audit.filter((entry) => !savedAudit.has(entry)),
        );
        try {
          await saveUnlessRequired(snapshot, entries, storedRevision);
          unsavedBeginning = null;
        } catch (error) {
          if (error instanceof StoreConflict) return first(isRequired);
          if (isRequired) throw error;
          unsavedBeginning = () => first(true);
        }
        audit = entries;
        const graphChanged = state?.fingerprint !== buildGraphFingerprint(snapshot);
        state = { snapshot, admission, fingerprint: buildGraphFingerprint(snapshot) };
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
