/**
 * The gateway, put together. This file only connects: what each part decides stands in the folders below. It opens no
 * port before `start`.
 */
import type { Server } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { Agent } from 'undici';
import { createClientResolver } from '../policies/client-address.ts';
import { type Admission, createAdmission } from '../schema/admission.ts';
import { createDiscovery } from '../schema/discovery.ts';
import { createPlannedEngines } from '../schema/planned-engine.ts';
import { createPlanner } from '../schema/planner.ts';
import { createSubgraphTransport } from '../schema/subgraph-transport.ts';
import { createWarmAdmission } from '../schema/warm-up.ts';
import { createAddressPolicy } from '../subgraphs/address-policy.ts';
import { createInstanceDiscovery, type InstanceDiscovery } from '../subgraphs/discovery/instance-discovery.ts';
import { createFileStore } from '../subgraphs/file-store.ts';
import { createMemoryStore } from '../subgraphs/memory-store.ts';
import { createRegistry, type Registry } from '../subgraphs/registry.ts';
import { createUpstreams, type Upstreams } from '../subgraphs/upstreams.ts';
import { createAdminAccess } from './admin-access.ts';
import { buildAdminEndpoints } from './admin-api.ts';
import { createAdminServer } from './admin-server.ts';
import { buildSettings, parseConfig, type Settings } from './config.ts';
import type { GatewayConfig } from './config-schema.ts';
import { createDataPlane, type DataPlane } from './data-plane.ts';
import { createLimiter } from './limiter.ts';
import { listen } from './listen.ts';
import { createLog, type Log, type LogDestination } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import {
  createCallObserver,
  createDiscoveryObserver,
  createRequestObserver,
  createSnapshotObserver,
} from './observation.ts';
import { createPublicServer } from './server.ts';
import { drainServer } from './shutdown.ts';

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
   * do not compose. Ports, store and Redis stay as they were at the start; the log says so when they differ.
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
  const stop = async (): Promise<void> => {
    // What is still starting is stopped when it has started; what failed to start has cleaned up after itself.
    await (await running?.catch(() => undefined))?.stop();
    await log.close();
  };
  return {
    async start() {
      running ??= run(settings, log);
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
async function run(settings: Settings, log: Log): Promise<RunningGateway> {
  await using building = new AsyncDisposableStack();
  let current = settings;
  let dataPlane: DataPlane | undefined;
  const metrics = createMetrics();
  const addressPolicy = createAddressPolicy(settings.registrationAllow);
  const { lookup } = addressPolicy;
  const upstreams = building.use(
    createUpstreams({
      defaults: settings.resilience,
      bodyIdleTimeoutMs: settings.limits.bodyIdleTimeoutMs,
      lingerMs: settings.deadlineMs,
      lookup,
      observer: createCallObserver(log, metrics),
    }),
  );
  const store = building.use(await openStore(settings, log));
  const transport = createSubgraphTransport({
    call: upstreams.call,
    endpointOf: upstreams.endpointOf,
    maxResponseBytes: settings.limits.maxSubgraphResponseBytes,
    sharesRequests: () => current.graphql.shareSubgraphRequests,
  });
  const planner = building.use(createPlanner({ log }));
  if (settings.graphql.engine === 'auto') planner.start();
  const { subgraphErrors } = settings.graphql;
  const engineOf = createPlannedEngines({ planner, execute: transport, subgraphErrors, log });
  const dispatcher = new Agent({ connect: { lookup } });
  building.defer(() => dispatcher.destroy());
  const registry = building.use(
    createRegistry({
      store,
      admit: createWarmAdmission(createAdmission({ execute: transport, options: { subgraphErrors } }), {
        engineOf,
        serving: () => dataPlane?.current.generation.graph,
      }),
      discover: createDiscovery({ dispatcher }).discover,
      addressPolicy,
      discoveryAccess: () => current.discovery,
      log,
    }),
  );
  const discovery = building.use(
    createInstanceDiscovery({
      options: settings.discovery,
      addressPolicy,
      apply: registry.putDiscovered,
      observer: createDiscoveryObserver(metrics),
      log,
    }),
  );
  const limiter = createLimiter(settings, log, metrics);
  building.defer(() => limiter.close());

  const observeSnapshot = createSnapshotObserver(metrics);
  registry.subscribe((snapshot, admission) => {
    upstreams.apply(snapshot);
    discovery.follow(snapshot);
    dataPlane?.publish(snapshot, admission);
    observeSnapshot(snapshot, admission.graph.id);
  });
  await registry.start(settings.services);
  dataPlane = createDataPlane({
    settings,
    snapshot: registry.snapshot,
    graph: registry.admission.graph,
    limiter,
    call: upstreams.call,
    engineOf,
    onUnexpected: (error, context) => log.error('unexpected error in a GraphQL operation', { error, id: context.id }),
  });
  let isReady = false;
  const parts = { log, metrics, registry, upstreams, discovery, dataPlane, isReady: () => isReady };
  const { publicServer, adminServer } = createServers(settings, parts);
  const adminUrl = await listen(adminServer, settings.admin);
  building.defer(() => closeNow(adminServer));
  const url = await listen(publicServer, settings.listen);
  isReady = true;
  log.info('listening', { url, adminUrl, graph: registry.admission.graph.id });
  if (settings.admin.tokens.length === 0)
    log.warn('the admin port has no tokens: it answers everyone on loopback', { adminUrl });

  const parted = building.move();
  return {
    addresses: { url, adminUrl },
    async reload(next) {
      await registry.replaceConfig(next.services);
      discovery.configure(next.discovery);
      upstreams.configure(next.resilience);
      parts.dataPlane.configure(next);
      warnOfRestart(current, next, log);
      current = next;
    },
    async stop() {
      isReady = false;
      log.info('draining');
      const outcome = await drainServer(publicServer, settings.shutdown);
      if (outcome === 'cut') log.warn('requests were cut at the end of the grace period');
      await parted.disposeAsync();
      log.info('stopped');
    },
  };
}

interface Parts {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly registry: Registry<Admission>;
  readonly upstreams: Upstreams;
  readonly discovery: InstanceDiscovery;
  readonly dataPlane: DataPlane;
  readonly isReady: () => boolean;
}

function createServers(settings: Settings, parts: Parts): { publicServer: Server; adminServer: Server } {
  const { log, metrics, registry, upstreams, discovery, dataPlane, isReady } = parts;
  const publicServer = createPublicServer({
    graphqlPath: settings.graphql.path,
    maxHeaderBytes: settings.limits.maxHeaderBytes,
    headersTimeoutMs: settings.limits.headersTimeoutMs,
    current: () => dataPlane.current,
    isReady,
    observer: createRequestObserver(log, metrics),
    deadlineMs: settings.deadlineMs,
    resolveClient: createClientResolver(settings.trustedProxies),
  });
  const adminServer = createAdminServer({
    access: createAdminAccess(settings.admin.tokens),
    endpoints: buildAdminEndpoints({ registry, upstreams, discovery, metrics, routes: () => dataPlane.current.routes }),
    // The longest SDL, in the most wasteful escapes of JSON.
    maxBodyBytes: 16_000_000,
    onFailure: (error, id) => {
      if (error.status >= 500) log.error('an admin request failed', { error, id });
    },
  });
  return { publicServer, adminServer };
}

function openStore({ store }: Settings, log: Log) {
  return store.kind === 'memory' ? createMemoryStore() : createFileStore({ directory: store.directory, log });
}

function closeNow(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** What is bound at the start: a reload that changes it says so instead of pretending. */
function warnOfRestart(before: Settings, after: Settings, log: Log): void {
  const bound = [
    'listen',
    'admin',
    'store',
    'redisUrl',
    'limits',
    'trustedProxies',
    'registrationAllow',
    'log',
  ] as const;
  const changed = bound.filter((key) => !isDeepStrictEqual(before[key], after[key]));
  if (changed.length > 0) log.warn('these settings need a restart', { changed });
}
