/**
 * The gateway, put together. This file only connects: what each part decides stands in the folders below. It opens no
 * port before `start`.
 */
import { isDeepStrictEqual } from 'node:util';
import { Agent } from 'undici';
import { parseDurationMs } from '../policies/units.ts';
import { type Admission, createAdmission } from '../schema/admission.ts';
import { createDiscovery } from '../schema/discovery.ts';
import { createFieldUsage } from '../schema/field-usage.ts';
import type { Graph } from '../schema/graph.ts';
import { createAddressPolicy } from '../subgraphs/address-policy.ts';
import { createInstanceDiscovery } from '../subgraphs/discovery/instance-discovery.ts';
import { createInstanceConnector } from '../subgraphs/instance-connector.ts';
import { createRegistry, type Registry } from '../subgraphs/registry.ts';
import { loadServiceTls } from '../subgraphs/service-tls.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import { createAdminAccess } from './admin-access.ts';
import { buildAdminEndpoints } from './admin-api.ts';
import { createAdminServer } from './admin-server.ts';
import { openApiKeyStore } from './api-key-access.ts';
import { buildSettings, parseConfig, type Settings } from './config.ts';
import type { GatewayConfig } from './config-schema.ts';
import { createPolicyResolution } from './effective-policies.ts';
import { createGraphRouteWatch, withGraphRoutes } from './graph-route-watch.ts';
import { closeServer, listen } from './listen.ts';
import { createLog, type Log, type LogDestination } from './log.ts';
import { createMetrics } from './metrics.ts';
import { createDiscoveryObserver, createSnapshotObserver } from './observation.ts';
import { createNamedPolicies } from './policy-layers.ts';
import { checkPolicy } from './policy-levels.ts';
import { openRevocationStore } from './revocations.ts';
import { createRouteWatch } from './route-check.ts';
import { buildRouteTable, type RouteTable } from './route-table.ts';
import { createRouteUsage } from './route-usage.ts';
import { createServing } from './serving.ts';
import type { Serving, ServingOptions } from './serving-contract.ts';
import { openStore } from './store.ts';
import { createUnmatchedWatch } from './unmatched-bindings.ts';

export interface GatewayAddresses {
  /** Base URL of the public port. */
  readonly url: string;
  /** Base URL of the admin port. */
  readonly adminUrl: string;
}

export interface Gateway extends AsyncDisposable {
  /**
   * Loads the registry, composes the graph and opens both ports. Services that are down do not hinder it; a port that
   * is taken, or a store that another gateway holds, does.
   */
  start(): Promise<GatewayAddresses>;
  /**
   * Swaps in another configuration without a restart. Throws, and changes nothing, when it has mistakes or its services
   * do not compose. The store and the admin port stay as they were at the start; so do, without workers, the public
   * port, Redis and some limits. The log says so when they differ.
   */
  reload(config: GatewayConfig): Promise<void>;
  /** Drains and closes: at first unready, then without port, at last without requests. */
  stop(): Promise<void>;
}

export interface GatewayOptions {
  /** Where log lines go. @default standard output */
  readonly logDestination?: LogDestination;
}

/** Puts a gateway together. Throws a GatewayError with all mistakes of the configuration. */
export function createGateway(config: GatewayConfig = {}, options: GatewayOptions = {}): Gateway {
  const settings = buildSettings(parseConfig(config));
  const log = createLog({ ...settings.log, ...(options.logDestination && { destination: options.logDestination }) });
  let running: Promise<RunningGateway> | undefined;
  let stopping: Promise<void> | undefined;
  const stopped = new AbortController();
  const stop = async (): Promise<void> => {
    stopped.abort();
    // What is still starting is stopped when it has started; what failed to start has cleaned up after itself.
    await (await running?.catch(() => undefined))?.stop();
    await log.close();
  };
  return {
    async start() {
      running ??= run(settings, log, stopped.signal);
      return (await running).addresses;
    },
    async reload(next) {
      if (running === undefined) throw new TypeError('the gateway is not running');
      await (await running).reload(buildSettings(parseConfig(next)));
    },
    stop: () => (stopping ??= stop()),
    [Symbol.asyncDispose]: () => (stopping ??= stop()),
  };
}

interface RunningGateway {
  readonly addresses: GatewayAddresses;
  reload(settings: Settings): Promise<void>;
  stop(): Promise<void>;
}

/** Everything of a running gateway, in the order in which it comes to life. The stack takes it apart in reverse. */
async function run(settings: Settings, log: Log, stopped: AbortSignal): Promise<RunningGateway> {
  await using building = new AsyncDisposableStack();
  let current = settings;
  const metrics = createMetrics();
  const addressPolicy = createAddressPolicy(settings.registrationAllow);
  const { lookup } = addressPolicy;
  const usage = createFieldUsage({ windowMs: settings.registry.usageWindowMs });
  const routeUsage = createRouteUsage({ onRequest: metrics.routes.observeRetired });
  const createPlane = settings.workers > 1 ? await loadClusterServing() : createServing;
  const apiKeys = openApiKeyStore(settings);
  if (apiKeys !== undefined) building.use(apiKeys);
  const serving: Serving = building.use(
    createPlane({ settings, log, metrics, lookup, usage, routeUsage, apiKeyStore: apiKeys }),
  );
  const store = building.use(await openStore(settings, log, metrics, stopped));
  const { subgraphErrors } = settings.graphql;
  const admit = createAdmission({
    execute: serving.execute,
    options: { subgraphErrors },
    policy: () => current.registry.schemaChanges,
    users: withGraphRoutes(usage.users, () => ({ routes: current.own.rest, graph: registry.admission.graph })),
  });
  const dispatcher = new Agent({ connect: { lookup } });
  building.defer(() => dispatcher.destroy());
  const registry: Registry<Admission> = building.use(
    createRegistry({
      store,
      admit: serving.warm(admit, () => registry.waiting > 0),
      summarize: ({ graph, changes }) => ({ graph: graph.id, changes }),
      maxHistory: settings.registry.maxHistory,
      discover: createDiscovery({
        dispatcher,
        openDispatcher: (tls) =>
          new Agent({ connect: createInstanceConnector({ lookup, http2: false, tls: loadServiceTls(tls) }) }),
      }).discover,
      addressPolicy,
      discoveryAccess: () => current.discovery,
      checkPolicy: (name, definition, others) => checkPolicy(name, definition, [...current.namedPolicies, ...others]),
      reservedPolicies: () => new Set(current.namedPolicies.map(({ name }) => name)),
      log,
      massExpiry: settings.massExpiry,
      onSuspects: (count) => metrics.observeSuspects(count),
    }),
  );
  // Beside the registry, once for all workers: they learn what was found by the snapshot.
  const discovery = building.use(
    createInstanceDiscovery({
      options: settings.discovery,
      addressPolicy,
      apply: registry.putDiscovered,
      observer: createDiscoveryObserver(metrics),
      log,
    }),
  );

  const observeSnapshot = createSnapshotObserver(metrics);
  const listNamed = createNamedPolicies();
  const watchBindings = createUnmatchedWatch((unmatched) =>
    log.info('bindings of policies that match nothing now', { unmatched }),
  );
  const watchGraphRoutes = createGraphRouteWatch((route, misfits) => {
    if (misfits.length === 0) log.info('a route fits the graph again', { route });
    else log.warn('a route does not fit the graph: it answers 503 until it does', { route, misfits });
  });
  const watchRoutes = createRouteWatch((unreached) => log.warn('routes that no request reaches', { unreached }));
  watchRoutes(registry.snapshot);
  registry.subscribe((snapshot, admission) => {
    watchGraphRoutes(current.own.rest, admission.graph);
    serving.publish(snapshot, admission.graph);
    watchBindings(listNamed(current, snapshot), snapshot, admission.graph);
    watchRoutes(snapshot);
    discovery.follow(snapshot);
    observeSnapshot(snapshot, admission.graph.id);
  });
  await serving.prepare(settings);
  await registry.start(settings.services);
  const revocations = openRevocationStore(settings);
  if (revocations !== undefined) building.use(revocations);
  const adminServer = createAdminServer({
    access: createAdminAccess(settings.admin.tokens),
    endpoints: buildAdminEndpoints({
      registry,
      serving,
      discovery,
      metrics,
      usage,
      routeUsage,
      revocation: {
        store: revocations,
        keepForMs: parseDurationMs(settings.authentication.revocation?.keepFor ?? '1d'),
        audited: registry.audited,
        onChange: (author, change, [kind, issuer]) =>
          log.info(change === 'made' ? 'credentials were revoked' : 'a revocation was taken back', {
            author,
            kind,
            issuer,
          }),
      },
      apiKeys: {
        store: apiKeys,
        audited: registry.audited,
        configured: () => new Set((current.authentication.apiKeys ?? []).map(({ name }) => name)),
        onChange: (author, change, name) => log.info(`an API key was ${change}`, { author, name }),
      },
      routes: () => viewRoutes(registry.snapshot, current, registry.admission.graph),
      ownRoutes: () => ({ settings: current, graph: registry.admission.graph }),
    }),
    // The longest SDL, in the most wasteful escapes of JSON.
    maxBodyBytes: 16_000_000,
    onFailure: (error, id) => {
      if (error.status >= 500) log.error('an admin request failed', { error, id });
    },
  });
  const adminUrl = await listen(adminServer, settings.admin);
  building.defer(() => closeServer(adminServer));
  const url = await serving.open();
  log.info('listening', { url, adminUrl, graph: registry.admission.graph.id });
  if (settings.admin.tokens.length === 0)
    log.warn('the admin port has no tokens: it answers everyone on loopback', { adminUrl });

  const parted = building.move();
  return {
    addresses: { url, adminUrl },
    async reload(next) {
      // First of all: what cannot be loaded refuses the rest.
      await serving.prepare(next);
      const before = current;
      // The policy of the new file already holds for its own services.
      current = { ...current, registry: next.registry };
      try {
        await registry.replaceConfig(next.services);
      } catch (error) {
        current = before;
        await serving.abandon();
        throw error;
      }
      discovery.configure(next.discovery);
      await serving.applied();
      const changed = [...findBoundToStart(before, next), ...(await serving.configure(next))];
      if (changed.length > 0) log.warn('these settings need a restart', { changed });
      current = next;
      watchBindings(listNamed(next, registry.snapshot), registry.snapshot, registry.admission.graph);
      watchGraphRoutes(next.own.rest, registry.admission.graph);
    },
    async stop() {
      log.info('draining');
      const outcome = await serving.drain(current.shutdown);
      if (outcome === 'cut') log.warn('requests were cut at the end of the grace period');
      await parted.disposeAsync();
      log.info('stopped');
    },
  };
}

/** Loaded when wanted: most gateways are one process. */
async function loadClusterServing(): Promise<(options: ServingOptions) => Serving> {
  const { createClusterServing } = await import('./cluster-serving.ts');
  return createClusterServing;
}

/** With what policies add, as requests meet it. */
function viewRoutes(registered: Snapshot, configured: Settings, graph: Graph): RouteTable {
  const { snapshot, settings } = createPolicyResolution()(registered, configured, graph);
  return buildRouteTable(snapshot, {
    maxBodyBytes: settings.limits.maxBodyBytes,
    authenticationRequired: settings.authentication.required === true,
    rateLimit: settings.rateLimit,
  });
}

/** What the control plane is bound to at its start: a reload that changes it says so instead of pretending. */
function findBoundToStart(before: Settings, after: Settings): readonly string[] {
  const bound = ['admin', 'store', 'registrationAllow', 'massExpiry'] as const;
  const changed: string[] = bound.filter((key) => !isDeepStrictEqual(before[key], after[key]));
  const { usageWindowMs, maxHistory } = after.registry;
  if (before.registry.usageWindowMs !== usageWindowMs) changed.push('registry.usageWindow');
  if (before.registry.maxHistory !== maxHistory) changed.push('registry.history');
  return changed;
}
