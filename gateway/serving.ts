/**
 * What answers requests, as the control plane sees it: snapshots and settings go in; health, metrics and load come out.
 * `createServing` is that in this process. With several workers it runs in each of them, and `cluster-serving.ts` stands
 * in its place before the control plane.
 */
import type { Server } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { createClientResolver } from '../policies/client-address.ts';
import { GatewayError } from '../policies/errors.ts';
import { LoadShedder } from '../policies/load-shedding.ts';
import type { Graph } from '../schema/graph.ts';
import { createGuardedEntities } from '../schema/guarded-entities.ts';
import { createPlannedEngines } from '../schema/planned-engine.ts';
import { createPlanner } from '../schema/planner.ts';
import { createSubgraphTransport } from '../schema/subgraph-transport.ts';
import { createVersionRouting } from '../schema/version-routing.ts';
import { createWarmAdmission } from '../schema/warm-up.ts';
import { createHttpCache } from '../subgraphs/http-cache.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import { createUpstreams } from '../subgraphs/upstreams.ts';
import { createApiKeyAccess } from './api-key-access.ts';
import { findBoundSettings } from './bound-settings.ts';
import { createTellingCache, dropCached } from './cache-invalidation.ts';
import { openCacheStore } from './cache-store.ts';
import { createCertificateResolver } from './client-certificates.ts';
import type { Settings } from './config.ts';
import { createDataPlane, type DataPlane } from './data-plane.ts';
import { createPolicyResolution } from './effective-policies.ts';
import { explain } from './explain.ts';
import { FieldGuards } from './field-guards.ts';
import { compileKnownHosts } from './known-hosts.ts';
import { createLimiter } from './limiter.ts';
import { listen } from './listen.ts';
import { openListenTls } from './listen-tls.ts';
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
import { createPublicServer } from './server.ts';
import { compileServerTiming } from './server-timing.ts';
import type { LocalServing, ServingOptions } from './serving-contract.ts';
import { drainServer } from './shutdown.ts';
import { SubgraphRules } from './subgraph-rules.ts';
import { Upgrades } from './upgrades.ts';

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
      ownObserver: metrics.own,
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
    async openapi() {
      if (dataPlane === undefined) throw new GatewayError('SERVICE_UNAVAILABLE');
      return dataPlane.current.describe();
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
