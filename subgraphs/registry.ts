/**
 * The registry: which services there are, where their instances run, and what holds for them. It is the only writer of
 * the snapshot. What it accepts has been checked, composed and saved; what it refuses changes nothing.
 */
import { toGatewayError } from '../policies/errors.ts';
import type { AddressPolicy } from './address-policy.ts';
import type { AuditEntry } from './audit.ts';
import { type Clock, systemClock } from './clock.ts';
import { checkDefinitions } from './definition-check.ts';
import { type Admit, createDesiredState } from './desired-state.ts';
import type { DiscoveredList } from './discovery/discovered-instances.ts';
import { type DiscoveryAccess, defaultDiscoveryAccess } from './discovery/discovery-access.ts';
import { probeHealth } from './health-probe.ts';
import { createInstanceChanges, type InstanceChanges, type NewSoftware } from './instance-changes.ts';
import { createLeases, type ExpiredLease, type Leases } from './leases.ts';
import { type Log, silentLog } from './log.ts';
import { createMassExpiryGuard, defaultMassExpiry, type MassExpirySettings } from './mass-expiry.ts';
import { buildFirstState } from './registry-start.ts';
import { createSchemaAsking, type Discover } from './schema-asking.ts';
import { createSchemaHealing, type SchemaNews } from './schema-healing.ts';
import { applySchemaNews } from './schema-news.ts';
import { createServiceChanges, type ServiceChanges } from './service-changes.ts';
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
  readonly clock?: Clock;
  readonly log?: Log;
  /** For the jitter of background work: between 0 and 1. */
  readonly random?: () => number;
  readonly massExpiry?: MassExpirySettings;
  /** Connects to the instance at an origin; rejects when that fails. @default a connection over TCP or TLS */
  readonly probe?: (url: string) => Promise<void>;
  /** How many instances are kept although their lease ran out. */
  readonly onSuspects?: (count: number) => void;
}

type Listener<A> = (snapshot: Snapshot, admission: A) => void;

export interface Registry<A>
  extends AsyncDisposable,
    ServiceChanges<A>,
    Omit<InstanceChanges<A>, 'expire' | 'putDiscovered'> {
  /** Empty until the registry is started. */
  readonly snapshot: Snapshot;
  /** What `admit` made of the present graph. Throws until the registry is started. */
  readonly admission: A;
  /** Loads the store and lays the configuration's services over it. Services that are down delay it little. */
  start(config: Readonly<Record<string, unknown>>): Promise<void>;
  /** Takes what providers found. What runs there is asked for its schema in the background. */
  putDiscovered(lists: readonly DiscoveredList[]): Promise<void>;
  /** Seconds until an instance expires unless it is renewed; null for instances without a lease. */
  leaseRemainingSeconds(service: string, instance: string): number | null;
  /** Whether an instance is only kept because too many leases ran out at once. */
  isSuspect(service: string, instance: string): boolean;
  /** What was changed and what was refused, oldest first. */
  audit(): readonly AuditEntry[];
  /** Calls back with every new snapshot. The returned function unsubscribes. */
  subscribe(listener: Listener<A>): () => void;
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

  const state = createDesiredState<A>({ store, admit: options.admit, clock, log, publish });
  const asking = createSchemaAsking(options.discover);
  const onExpire = (expired: readonly ExpiredLease[]) => guard.handle(expired);
  const leases: Leases = store.shared?.createLeases(onExpire, clock) ?? createLeases(onExpire, clock);
  const services = createServiceChanges({ state, asking, addressPolicy, discoveryAccess });
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
    if (isRetrying || snapshot.services.every((service) => service.quarantine === null)) return;
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
    const urls = service.instances.filter((instance) => !instance.draining).map((instance) => instance.url);
    const url = urls[attempt % urls.length];
    const answer = await asking.ask(service.name, service.definition.graphql, url === undefined ? [] : [url]);
    if (answer.schema === null) throw answer.failure;
    return { service, schema: answer.schema, stamp: answer.stamp };
  }

  /** A service that has no schema yet is asked by the healing. */
  async function askNewSoftware(found: readonly NewSoftware[]): Promise<void> {
    const news = await Promise.all(
      found.map(async ({ service, urls }): Promise<readonly SchemaNews[]> => {
        if (service.schema === null) return [];
        const { schema, stamp } = await asking.ask(service.name, service.definition.graphql, urls);
        return schema === null ? [] : [{ service, schema, stamp }];
      }),
    );
    if (news.flat().length > 0) await applyNews(news.flat());
  }

  async function probeLease({ service, instance }: ExpiredLease): Promise<void> {
    const url = findInstance(findService(state.snapshot, service), instance)?.url;
    if (url === undefined) return;
    const { probe = connect } = options;
    await probe(url);
  }

  function connect(url: string): Promise<void> {
    return probeHealth({ url, check: null, timeoutMs: probeTimeoutMs, lookup: addressPolicy.lookup });
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
    async start(values) {
      const config = checkDefinitions(values);
      let unverified: ReadonlySet<string> = new Set();
      await state.begin(async () => {
        const { admit } = state;
        const first = await buildFirstState<A>({ store, config, admit, addressPolicy, log });
        unverified = first.unverified;
        return first;
      });
      isStarted = true;
      healing.start(state.snapshot, unverified);
      const enough = Promise.withResolvers<void>();
      const timer = clock.setTimer(enough.resolve, firstAnswersMs);
      await Promise.race([healing.idle(), enough.promise]);
      timer.cancel();
    },
    ...services,
    putInstance: instances.putInstance,
    drainInstance: instances.drainInstance,
    deleteInstance: instances.deleteInstance,
    async putDiscovered(lists) {
      inBackground(askNewSoftware(await instances.putDiscovered(lists)));
    },
    leaseRemainingSeconds: leases.remainingSeconds,
    isSuspect: guard.isSuspect,
    audit: () => state.audit,
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
