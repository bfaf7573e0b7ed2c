/**
 * The registry: which services there are, where their instances run, and what holds for them. It is the only writer of
 * the snapshot. What it accepts has been checked, composed and saved; what it refuses changes nothing.
 */
import { createHash } from 'node:crypto';
import { toGatewayError } from '../policies/errors.ts';
import type { AddressPolicy } from './address-policy.ts';
import { type AuditEntry, type AuditNote, buildAuthor } from './audit.ts';
import type { Admit, SchemaSummary, Summarize } from './change.ts';
import { type Clock, systemClock } from './clock.ts';
import { checkDefinitions } from './definition-check.ts';
import { createDesiredState } from './desired-state.ts';
import type { DiscoveredList } from './discovery/discovered-instances.ts';
import { type DiscoveryAccess, defaultDiscoveryAccess } from './discovery/discovery-access.ts';
import { probeHealth } from './health-probe.ts';
import type { HistoryEntry } from './history.ts';
import { createInstanceChanges, type InstanceChanges, type NewSoftware } from './instance-changes.ts';
import { createLeases, type ExpiredLease, type Leases } from './leases.ts';
import { type Log, silentLog } from './log.ts';
import { createMassExpiryGuard, defaultMassExpiry, type MassExpirySettings } from './mass-expiry.ts';
import { type CheckPolicy, createPolicyChanges, type PolicyChanges, reviewPolicies } from './policy-changes.ts';
import type { ChangeAuthor } from './precondition.ts';
import { buildFirstState } from './registry-start.ts';
import { createRollback, type Rollback } from './rollback.ts';
import { createSchemaAsking, type Discover } from './schema-asking.ts';
import { createSchemaHealing, type SchemaNews } from './schema-healing.ts';
import { applySchemaNews } from './schema-news.ts';
import { createServiceChanges, type ServiceChanges } from './service-changes.ts';
import { loadServiceTls } from './service-tls.ts';
import type { ServiceTlsOptions } from './service-tls-options.ts';
import { findUnknownVersions, unversioned } from './service-versions.ts';
import { findInstance, findService, type Service, type Snapshot } from './snapshot.ts';
import type { Store } from './store.ts';

export interface RegistryOptions<A> {
  /** Belongs to the caller, who closes it after the registry. */
  readonly store: Store;
  /**
   * Composes the graph of a candidate, or throws REGISTRATION_REFUSED with reasons that name the services to blame.
   * Called one at a time, and only when something that the graph is made of changed. Must admit a snapshot without
   * any schema.
   */
  readonly admit: Admit<A>;
  readonly discover: Discover;
  readonly addressPolicy: AddressPolicy;
  /** Which providers services of the admin API may name. @default DNS alone */
  readonly discoveryAccess?: DiscoveryAccess;
  /** What the history says of a graph. @default a hash of what it is made of, and no changes */
  readonly summarize?: Summarize<A>;
  /** Generations that the history keeps. @default 100 */
  readonly maxHistory?: number;
  readonly clock?: Clock;
  readonly log?: Log;
  /** For the jitter of background work: between 0 and 1. */
  readonly random?: () => number;
  readonly massExpiry?: MassExpirySettings;
  /** Connects to the instance at an origin; rejects when that fails. @default a connection over TCP or TLS */
  readonly probe?: (url: string) => Promise<void>;
  /** What is wrong with the kinds of a policy. Its shape is checked before. @default nothing */
  readonly checkPolicy?: CheckPolicy;
  /** Names of policies that the configuration has, and that nobody may write at run time. @default none */
  readonly reservedPolicies?: () => ReadonlySet<string>;
  /** How many instances are kept although their lease ran out. */
  readonly onSuspects?: (count: number) => void;
}

type Listener<A> = (snapshot: Snapshot, admission: A) => void;

export interface Registry<A>
  extends AsyncDisposable,
    ServiceChanges<A>,
    PolicyChanges,
    Omit<InstanceChanges<A>, 'expire' | 'putDiscovered'> {
  /** Empty until the registry is started. */
  readonly snapshot: Snapshot;
  /** What `admit` made of the present graph. Throws until the registry is started. */
  readonly admission: A;
  /** Loads the store and lays the configuration's services over it. Services that are down delay it little. */
  start(config: Readonly<Record<string, unknown>>): Promise<void>;
  /** Takes what providers found. What runs there is asked for its schema in the background. */
  putDiscovered(lists: readonly DiscoveredList[]): Promise<void>;
  /** Changes that wait for the one under way: it will soon be replaced. */
  readonly waiting: number;
  /** Seconds until an instance expires unless it is renewed; null for instances without a lease. */
  leaseRemainingSeconds(service: string, instance: string): number | null;
  /** Brings back what a generation was made of. */
  readonly rollback: Rollback<A>;
  /** Does something beside the registry, and notes in the audit that it was done or refused. */
  audited<T>(note: Pick<AuditNote, 'action' | 'targets'>, by: ChangeAuthor, run: () => Promise<T>): Promise<T>;
  /** Whether an instance is only kept because too many leases ran out at once. */
  isSuspect(service: string, instance: string): boolean;
  /** What was changed and what was refused, oldest first. */
  audit(): readonly AuditEntry[];
  /** The generations of the graph, oldest first. */
  history(): readonly HistoryEntry[];
  /** Calls back with every new snapshot. The returned function unsubscribes. */
  subscribe(listener: Listener<A>): () => void;
}

/** Whether it has a schema that might become part of the graph. */
function isOutOfGraph({ quarantine, rejected }: Service): boolean {
  return quarantine !== null || (rejected !== undefined && rejected.held !== true);
}

function summarizeByHash(_admission: unknown, fingerprint: string): SchemaSummary {
  return { graph: createHash('sha256').update(fingerprint).digest('hex').slice(0, 16), changes: [] };
}
const probeTimeoutMs = 2_000;

/** How long a start waits for the schemas of services that are up; later ones join the graph when they come. */
const firstAnswersMs = 1_000;

export function createRegistry<A>(options: RegistryOptions<A>): Registry<A> {
  const {
    store,
    addressPolicy,
    discoveryAccess = defaultDiscoveryAccess,
    clock = systemClock,
    log = silentLog,
    random = Math.random,
  } = options;
  const listeners = new Set<Listener<A>>();
  let isStarted = false;
  let isRetrying = false;

  const { admit, summarize = summarizeByHash, maxHistory = 100 } = options;
  const state = createDesiredState<A>({ store, admit, summarize, maxHistory, clock, log, publish });
  const asking = createSchemaAsking(options.discover);
  const onExpire = (expired: readonly ExpiredLease[]) => guard.handle(expired);
  const leases: Leases = store.shared?.createLeases(onExpire, clock) ?? createLeases(onExpire, clock);
  const services = createServiceChanges({ state, asking, addressPolicy, discoveryAccess });
  const { checkPolicy: check = () => [], reservedPolicies: reserved = () => new Set() } = options;
  const policies = createPolicyChanges({ state, clock, check, reserved });
  const instances = createInstanceChanges({ state, asking, leases, addressPolicy });
  const guard = createMassExpiryGuard({
    settings: options.massExpiry ?? defaultMassExpiry,
    leases: () => leases,
    probe: probeLease,
    drop: instances.expire,
    clock,
    log,
    onSuspects: options.onSuspects,
  });
  const healing = createSchemaHealing({ ask, apply: applyNews, clock, random, log });

  function publish(snapshot: Snapshot, admission: A, graphChanged: boolean): void {
    leases.follow(snapshot);
    asking.follow(new Set(snapshot.services.map((service) => service.name)));
    healing.follow(snapshot);
    for (const listener of [...listeners]) {
      try {
        listener(snapshot, admission);
      } catch (error) {
        log.error('a listener of the registry failed', { error });
      }
    }
    if (graphChanged && isStarted) retryQuarantined(snapshot);
  }

  /** With another graph, what did not compose may do so now. */
  function retryQuarantined(snapshot: Snapshot): void {
    if (isRetrying || snapshot.services.every((service) => !isOutOfGraph(service))) return;
    isRetrying = true;
    const retry = async () => {
      isRetrying = false;
      await applyNews([]);
    };
    inBackground(Promise.resolve().then(retry));
  }

  function applyNews(news: readonly SchemaNews[]): Promise<void> {
    return applySchemaNews({ state, asking, log }, news);
  }

  async function ask(service: Service, attempt: number): Promise<SchemaNews> {
    const candidates = service.instances.filter((instance) => !instance.draining);
    const unknown = findUnknownVersions(service);
    const { version: refused = unversioned } = service.rejected ?? {};
    const isLacking = (version: string) =>
      unknown.has(version) || (service.rejected !== undefined && version === refused);
    const lacking = candidates.filter(({ version }) => isLacking(version ?? unversioned));
    const askable = lacking.length > 0 ? lacking : candidates;
    const instance = askable[attempt % askable.length];
    const answer = await asking.ask(service.name, service.definition, instance === undefined ? [] : [instance]);
    if (answer.failure !== null) throw answer.failure;
    return { service, found: answer.found };
  }

  /** A service that has no schema yet is asked by the healing. */
  async function askNewSoftware(newSoftware: readonly NewSoftware[]): Promise<void> {
    const news = await Promise.all(
      newSoftware.map(async ({ service, instances }): Promise<readonly SchemaNews[]> => {
        if (service.schema === null) return [];
        const { found } = await asking.ask(service.name, service.definition, instances);
        return found.length === 0 ? [] : [{ service, found }];
      }),
    );
    if (news.flat().length > 0) await applyNews(news.flat());
  }

  async function probeLease({ service, instance }: ExpiredLease): Promise<void> {
    const known = findService(state.snapshot, service);
    const url = findInstance(known, instance)?.url;
    if (url === undefined) return;
    const { tls } = known?.definition ?? {};
    const { probe = (origin) => connect(origin, tls) } = options;
    await probe(url);
  }

  function connect(url: string, options: ServiceTlsOptions | undefined): Promise<void> {
    const tls = options && loadServiceTls(options);
    return probeHealth({ url, check: null, timeoutMs: probeTimeoutMs, lookup: addressPolicy.lookup, tls });
  }

  function inBackground(work: Promise<void>): void {
    work.catch((error) => log.error('background work of the registry failed', { error: toGatewayError(error) }));
  }

  return {
    get snapshot() {
      return state.snapshot;
    },
    get admission() {
      return state.admission;
    },
    get waiting() {
      return state.waiting;
    },
    async start(values) {
      const config = checkDefinitions(values);
      let unverified: ReadonlySet<string> = new Set();
      await state.begin(async () => {
        const { admit } = state;
        const first = await buildFirstState<A>({ store, config, admit, addressPolicy, log });
        unverified = first.unverified;
        return first;
      });
      reviewPolicies(state.snapshot, check, reserved(), log);
      isStarted = true;
      healing.start(state.snapshot, unverified);
      const enough = Promise.withResolvers<void>();
      const timer = clock.setTimer(enough.resolve, firstAnswersMs);
      await Promise.race([healing.idle(), enough.promise]);
      timer.cancel();
    },
    ...services,
    ...policies,
    putInstance: instances.putInstance,
    drainInstance: instances.drainInstance,
    deleteInstance: instances.deleteInstance,
    async putDiscovered(lists) {
      inBackground(askNewSoftware(await instances.putDiscovered(lists)));
    },
    leaseRemainingSeconds: leases.remainingSeconds,
    rollback: createRollback({ state, addressPolicy, log }),
    async audited(what, by, run) {
      const note = { ...buildAuthor(by), ...what };
      const result = await state.noteRefusal(note, by, run);
      if (by.dryRun !== true) state.noteAccepted(note);
      return result;
    },
    isSuspect: guard.isSuspect,
    audit: () => state.audit,
    history: () => state.history,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async [Symbol.asyncDispose]() {
      healing[Symbol.dispose]();
      guard[Symbol.dispose]();
      leases[Symbol.dispose]();
      await state.close();
      listeners.clear();
    },
  };
}
