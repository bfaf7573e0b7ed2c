/**
 * What answers requests, as the control plane sees it: snapshots and settings go in; health, metrics and load come out.
 * `createServing` is that in this process. With several workers it runs in each of them, and `cluster-serving.ts` stands
 * in its place before the control plane.
 */
import type { Server } from 'node:http';
import type { LookupFunction } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type { BreakerState } from '../policies/circuit-breaker.ts';
import { createClientResolver } from '../policies/client-address.ts';
import { GatewayError } from '../policies/errors.ts';
import { LoadShedder } from '../policies/load-shedding.ts';
import type { ApiKeyStore } from '../policies/managed-api-keys.ts';
import type { RateLimitStore } from '../policies/rate-limit-count.ts';
import type { Admit } from '../schema/admission.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Graph, SubgraphExecutor } from '../schema/graph.ts';
import { createGuardedEntities } from '../schema/guarded-entities.ts';
import { createPlannedEngines } from '../schema/planned-engine.ts';
import { createPlanner, type Planner } from '../schema/planner.ts';
import { createSubgraphTransport } from '../schema/subgraph-transport.ts';
import { createVersionRouting } from '../schema/version-routing.ts';
import { createWarmAdmission } from '../schema/warm-up.ts';
import { createHttpCache } from '../subgraphs/http-cache.ts';
import type { InstanceStatus } from '../subgraphs/instance-state.ts';
import type { PoolHealth } from '../subgraphs/pool-health.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import { createUpstreams, type Upstreams } from '../subgraphs/upstreams.ts';
import { createApiKeyAccess } from './api-key-access.ts';
import { type CacheTags, createTellingCache, dropCached } from './cache-invalidation.ts';
import { openCacheStore } from './cache-store.ts';
import { createCertificateResolver } from './client-certificates.ts';
import type { Settings } from './config.ts';
import { createDataPlane, type DataPlane } from './data-plane.ts';
import { createPolicyResolution } from './effective-policies.ts';
import { type Explanation, explain } from './explain.ts';
import type { ExplainQuestion } from './explanation.ts';
import { FieldGuards } from './field-guards.ts';
import { compileKnownHosts } from './known-hosts.ts';
import { createLimiter } from './limiter.ts';
import { listen } from './listen.ts';
import { openListenTls } from './listen-tls.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { MirrorReport } from './mirror-report.ts';
import { Mirrors } from './mirrors.ts';
import {
  createAuthenticationObserver,
  createCallObserver,
  createQueryObserver,
  createRequestObserver,
  createUpgradeObserver,
} from './observation.ts';
import { OpenapiSources } from './openapi-sources.ts';
import { openPersistedOperations } from './persisted-operations.ts';
import type { SnapshotFacts } from './plugin.ts';
import { createPluginHost } from './plugin-host.ts';
import { openRedirect } from './redirect-server.ts';
import { createRevocations } from './revocations.ts';
import type { RouteUsage } from './route-usage.ts';
import { createPublicServer } from './server.ts';
import { compileServerTiming } from './server-timing.ts';
import { type DrainOptions, type DrainOutcome, drainServer } from './shutdown.ts';
import { SubgraphRules } from './subgraph-rules.ts';
import { Upgrades } from './upgrades.ts';

export interface Serving extends AsyncDisposable {
  /** How graphs that the control plane composes call services. */
  readonly execute: SubgraphExecutor;
  /** Lets admission prepare a new graph before it serves. */
  /** `isSuperseded`: whether other changes wait, so that the graph will not serve for long. */
  warm(admit: Admit, isSuperseded?: () => boolean): Admit;
  /** What shall be served from now on. Never throws. */
  publish(snapshot: Snapshot, graph: Graph): void;
  /** Resolves when everything published before is served everywhere. Never rejects, and waits within bounds. */
  applied(): Promise<void>;
  /** Loads what settings name and is not loaded yet. Throws, and changes nothing, when something cannot be. */
  prepare(settings: Settings): Promise<void>;
  /** Drops what was prepared. */
  abandon(): Promise<void>;
  /** Takes other settings, with what was prepared. Resolves with the names of those that need a restart. */
  configure(settings: Settings): Promise<readonly string[]>;
  /** Opens the public port; resolves with its base URL. */
  open(): Promise<string>;
  /** The instances of a service as they are now; none for an unknown service. */
  status(service: string): Promise<readonly InstanceStatus[]>;
  /** The instances of a service as a whole; undefined for an unknown service. */
  poolHealth(service: string): PoolHealth | undefined;
  /** The breaker of a service as a whole; null where it has none. */
  serviceBreaker(service: string): Promise<BreakerState | null>;
  /** Looks at all instances of a service now, then as {@link status}. */
  probe(service: string): Promise<readonly InstanceStatus[]>;
  /** What would happen to a request, and why. */
  explain(question: ExplainQuestion): Promise<Explanation>;
  /** What became of copies of requests, in all processes. */
  mirrors(): Promise<readonly MirrorReport[]>;
  renderMetrics(): ReturnType<Metrics['render']>;
  /** Drops cached answers by tags, or all of them; the number of those dropped. Rejects when that is not sure. */
  invalidate(tags: CacheTags): Promise<number>;
  /** Ends requests in flight and closes the public port. */
  drain(options: DrainOptions): Promise<DrainOutcome>;
}

export interface ServingOptions {
  readonly settings: Settings;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Name resolution for connections to instances, which may refuse addresses. */
  readonly lookup: LookupFunction;
  /** Who uses what of the graph. */
  readonly usage: FieldUsage;
  /** Who calls routes that are retired. */
  readonly routeUsage: RouteUsage;
  /** Makes plans; is disposed with this. @default a process of its own */
  readonly planner?: Planner;
  /** Counts where no Redis does; is closed with this. @default counts in this process */
  readonly counts?: RateLimitStore;
  /** API keys that are managed in this process. @default opened here, where they are managed */
  readonly apiKeyStore?: ApiKeyStore | undefined;
  /** When set, instances are not probed here, see {@link Upstreams.tellHealth}. */
  readonly onEject?: (service: string, instance: string, why: string) => void;
  /** Where `onEject` is set: hears of connections that broke in the middle of a call. */
  readonly onDoubt?: (service: string, instance: string) => void;
  /** Hears what a mutation or an unsafe request made untrue: other processes keep answers as well. */
  readonly onInvalidate?: (tags: readonly string[]) => void;
  /** Processes that share the concurrency of a service. @default 1 */
  readonly processes?: number;
}

/** Serving by this very process, with the parts that a worker deals with directly. */
export interface LocalServing extends Serving {
  readonly upstreams: Upstreams;
}

/** Puts together all that a request meets. Nothing is served before the first {@link Serving.publish}. */
export function createServing(options: ServingOptions): LocalServing {
  const { settings, log, metrics, lookup, usage, onEject, processes } = options;
  const stack = new AsyncDisposableStack();
  /** As configured; what holds with policies bound is worked out from it. */
  let configured = settings;
  let current = settings;
  let published: { readonly snapshot: Snapshot; readonly graph: Graph } | undefined;
  const resolvePolicies = createPolicyResolution();
  let dataPlane: DataPlane | undefined;
  const plugins = stack.use(createPluginHost(log, metrics.plugins));
  let server: Server | undefined;
  let isReady = false;
  let told: SnapshotFacts | undefined;
  const upstreams = stack.use(
    createUpstreams({
      defaults: settings.resilience,
      zone: settings.zone,
      sessionSecrets: settings.sessionSecrets,
      bodyIdleTimeoutMs: settings.limits.bodyIdleTimeoutMs,
      lingerMs: settings.deadlineMs,
      lookup,
      observer: createCallObserver(log, metrics, onEject === undefined),
      onEject,
      onDoubt: options.onDoubt,
      processes,
    }),
  );
  const versions = createVersionRouting();
  const subgraphRules = new SubgraphRules(settings);
  const fieldGuards = new FieldGuards({
    log,
    onBreakerChange(field, state) {
      metrics.resilience.observeFieldBreaker(field, state);
      log.warn('circuit breaker', { field, state });
    },
  });
  const transport = createSubgraphTransport({
    headersOf: (service) => subgraphRules.find(service),
    call: upstreams.call,
    acceptsOf: versions.acceptsOf,
    endpointOf: upstreams.endpointOf,
    maxResponseBytes: settings.limits.maxSubgraphResponseBytes,
    sharesRequests: () => current.graphql.shareSubgraphRequests,
    readsHints: () => current.graphql.cache?.subgraphHeaders === true,
  });
  const execute = createGuardedEntities({
    execute: transport,
    current: () => fieldGuards.ofEntities,
    onDegraded: metrics.resilience.observeFieldFailure,
  });
  const planner = stack.use(options.planner ?? createPlanner({ log }));
  if (settings.graphql.engine === 'auto') planner.start();
  const { subgraphErrors } = settings.graphql;
  const engineOf = createPlannedEngines({ planner, execute, subgraphErrors, log });
  const limiter = createLimiter(() => current, log, metrics, options.counts);
  stack.defer(() => limiter.close());
  const shedder = stack.use(new LoadShedder(settings.loadShedding, { onShed: metrics.resilience.observeShed }));
  const revocations = createRevocations(settings, log, metrics);
  if (revocations !== undefined) stack.use(revocations);
  const apiKeys = createApiKeyAccess(settings, log, options.apiKeyStore);
  if (apiKeys !== undefined) stack.use(apiKeys);

  const persisted = stack.use(openPersistedOperations(settings, log, metrics));

  const cache = openCacheStore(settings, log, metrics);
  stack.defer(() => cache.close());
  // With a store of its own, each process has to hear what the others dropped.
  const tell = settings.cache.store === 'memory' ? options.onInvalidate : undefined;
  const sharedCache = createTellingCache(cache, metrics.cache.onInvalidated, tell);
  const httpCache = createHttpCache({ store: sharedCache, call: upstreams.call, observer: metrics.cache });

  const mirrors = new Mirrors({ call: upstreams.call, onOutcome: metrics.routing.onMirror });
  const openapi = stack.use(new OpenapiSources({ call: upstreams.call, log }));
  const upgrades = new Upgrades({
    open: upstreams.openUpgrade,
    maxOpen: Math.ceil(settings.limits.maxUpgrades / (processes ?? 1)),
    observer: createUpgradeObserver(metrics),
  });
  stack.defer(() => upgrades.drain(0));

  function begin(snapshot: Snapshot, graph: Graph): DataPlane {
    return createDataPlane({
      settings: current,
      snapshot,
      graph,
      limiter,
      authentication: { ...createAuthenticationObserver(log, metrics), revocations, apiKeys },
      usage,
      routeUsage: options.routeUsage,
      call: upstreams.call,
      mirrors,
      httpCache,
      upgrades,
      openapi,
      cacheStore: sharedCache,
      cacheMetrics: metrics.cache,
      engineOf,
      shedder,
      persisted,
      queryObserver: createQueryObserver(log, metrics),
      plugins: plugins.activate(),
      fieldGuards,
      onUnexpected: (error, context) => log.error('unexpected error in a GraphQL operation', { error, id: context.id }),
      onUnknownPolicy: (policy, services) =>
        log.warn('nobody passes a policy that `authorization.policies` does not have', { policy, services }),
      onDegraded: metrics.resilience.observeFieldFailure,
      onRouteBreaker(route, state) {
        metrics.resilience.observeRouteBreaker(route, state);
        log.warn('circuit breaker', { route, state });
      },
      onInvalidRequest: metrics.validation(log),
      onRouteFallback: metrics.resilience.observeRouteFallback,
    });
  }

  /** Takes over what the registry and the configuration say together. */
  function serve({ snapshot, graph }: NonNullable<typeof published>): void {
    const effective = resolvePolicies(snapshot, configured, graph);
    take(effective.settings);
    upstreams.apply(effective.snapshot);
    openapi.follow(effective.snapshot);
    subgraphRules.apply(effective.snapshot);
    if (dataPlane === undefined) dataPlane = begin(effective.snapshot, graph);
    else dataPlane.publish(effective.snapshot, graph, effective.settings, plugins.current);
  }

  /** Settings for the parts that requests do not find in the state of the data plane. */
  function take(next: Settings): void {
    const before = current;
    if (next === before) return;
    current = next;
    subgraphRules.configure(next);
    upstreams.configure({ defaults: next.resilience, zone: next.zone, sessionSecrets: next.sessionSecrets });
    if (!isDeepStrictEqual(next.loadShedding, before.loadShedding)) shedder.configure(next.loadShedding);
  }

  return {
    upstreams,
    execute,
    warm: (admit, isSuperseded = () => false) =>
      createWarmAdmission(admit, {
        engineOf,
        serving: () => dataPlane?.current.generation.graph,
        isSuperseded,
      }),
    publish(snapshot, graph) {
      published = { snapshot, graph };
      versions.apply(snapshot);
      serve(published);
      told = { revision: snapshot.revision, graph: graph.id, services: snapshot.services.map(({ name }) => name) };
      plugins.current?.tellSnapshot(told);
    },
    async applied() {},
    prepare: plugins.prepare,
    abandon: plugins.abandon,
    async configure(next) {
      const bound = findBoundSettings(configured, next);
      configured = next;
      await persisted.configure(next.graphql.persistedOperations);
      const [before, set] = [plugins.current, plugins.activate()];
      if (published === undefined) take(next);
      else serve(published);
      if (set !== before && told !== undefined) set?.tellSnapshot(told);
      return bound;
    },
    async open() {
      if (dataPlane === undefined) throw new TypeError('there is nothing to serve yet');
      const plane = dataPlane;
      await Promise.all([revocations?.begun, apiKeys?.begun, persisted.begun]);
      const { tls, http2, redirect } = settings.listen;
      const listenTls = tls && stack.use(await openListenTls(tls, { log, metrics: metrics.tls, http2: http2.tls }));
      server = createPublicServer({
        graphqlPath: settings.graphql.path,
        limits: settings.limits,
        assertKnownHost: compileKnownHosts(settings.hosts),
        timesRequest: compileServerTiming(settings.serverTiming),
        clientMetrics: metrics.clients,
        current: () => plane.current,
        isReady: () => isReady,
        observer: createRequestObserver(log, metrics),
        deadlineMs: settings.deadlineMs,
        resolveClient: createClientResolver(settings.trustedProxies),
        resolveCertificate: await createCertificateResolver(settings),
        tls: listenTls?.options,
        isMisdirected: listenTls?.isMisdirected,
        http2: (tls === undefined ? http2.clear : http2.tls) ? http2 : undefined,
      });
      listenTls?.serve(server);
      const url = await listen(server, settings.listen);
      if (redirect !== undefined && listenTls !== undefined)
        stack.use(await openRedirect({ ...redirect, url, host: settings.listen.host, covers: listenTls.covers, log }));
      isReady = true;
      return url;
    },
    status: async (service) => upstreams.status(service),
    poolHealth: upstreams.poolHealth,
    serviceBreaker: async (service) => upstreams.serviceBreaker(service),
    probe: upstreams.probe,
    async explain(question) {
      if (published === undefined || dataPlane === undefined) throw new GatewayError('SERVICE_UNAVAILABLE');
      return explain({ ...published, configured, dataPlane }, question);
    },
    mirrors: async () => mirrors.reports(),
    renderMetrics: metrics.render,
    async invalidate(tags) {
      const count = await dropCached(cache, tags);
      metrics.cache.onInvalidated(count);
      return count;
    },
    async drain(drainOptions) {
      isReady = false;
      return server === undefined
        ? 'drained'
        : await drainServer(server, drainOptions, (graceMs) => upgrades.drain(graceMs));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Settings that a process takes when it starts to serve, and keeps: by name, with what they come from. */
function listBoundSettings(settings: Settings): Readonly<Record<string, unknown>> {
  const { listen, redisUrl, cache, limits, trustedProxies, log, workers, deadlineMs, graphql, authentication } =
    settings;
  return {
    listen,
    hosts: settings.hosts,
    serverTiming: settings.serverTiming,
    redisUrl,
    cache,
    limits,
    trustedProxies,
    log,
    workers,
    deadlineMs,
    'authentication.revocation': authentication.revocation,
    'authentication.managedApiKeys': authentication.managedApiKeys === true,
    'authentication.clientCertificateHeader': authentication.clientCertificateHeader,
    'graphql.path': graphql.path,
    'graphql.persistedOperations.apqMaxSize': graphql.persistedOperations.apqMaxBytes,
    'graphql.persistedOperations.apqTtl': graphql.persistedOperations.apqTtlMs,
    'graphql.subgraphErrors': graphql.subgraphErrors,
  };
}

/** Those that differ and would need another process to hold. */
export function findBoundSettings(before: Settings, after: Settings): readonly string[] {
  const [known, wanted] = [listBoundSettings(before), listBoundSettings(after)];
  return Object.keys(known).filter((name) => JSON.stringify(known[name]) !== JSON.stringify(wanted[name]));
}
