/**
 * What answers requests, as the control plane sees it: snapshots and settings go in; health, metrics and load come out.
 * `createServing` is that in this process. With several workers it runs in each of them, and `cluster-serving.ts` stands
 * in its place before the control plane.
 */
import type { Server } from 'node:http';
import type { LookupFunction } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { createClientResolver } from '../policies/client-address.ts';
import { LoadShedder } from '../policies/load-shedding.ts';
import type { RateLimitStore } from '../policies/rate-limit-count.ts';
import type { Admit } from '../schema/admission.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Graph, SubgraphExecutor } from '../schema/graph.ts';
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
import type { Settings } from './config.ts';
import { createDataPlane, type DataPlane } from './data-plane.ts';
import { createLimiter } from './limiter.ts';
import { listen } from './listen.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { createAuthenticationObserver, createCallObserver, createRequestObserver } from './observation.ts';
import { createRevocations } from './revocations.ts';
import { createPublicServer } from './server.ts';
import { type DrainOptions, type DrainOutcome, drainServer } from './shutdown.ts';

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
  /** Takes other settings. Resolves with the names of those that need a restart. */
  configure(settings: Settings): Promise<readonly string[]>;
  /** Opens the public port; resolves with its base URL. */
  open(): Promise<string>;
  /** The instances of a service as they are now; none for an unknown service. */
  status(service: string): Promise<readonly InstanceStatus[]>;
  /** The instances of a service as a whole; undefined for an unknown service. */
  poolHealth(service: string): PoolHealth | undefined;
  /** Looks at all instances of a service now, then as {@link status}. */
  probe(service: string): Promise<readonly InstanceStatus[]>;
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
  /** Makes plans; is disposed with this. @default a process of its own */
  readonly planner?: Planner;
  /** Counts where no Redis does; is closed with this. @default counts in this process */
  readonly counts?: RateLimitStore;
  /** When set, instances are not probed here, see {@link Upstreams.tellHealth}. */
  readonly onEject?: (service: string, instance: string, why: string) => void;
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
  let current = settings;
  let dataPlane: DataPlane | undefined;
  let server: Server | undefined;
  let isReady = false;
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
      processes,
    }),
  );
  const versions = createVersionRouting();
  const execute = createSubgraphTransport({
    call: upstreams.call,
    acceptsOf: versions.acceptsOf,
    endpointOf: upstreams.endpointOf,
    maxResponseBytes: settings.limits.maxSubgraphResponseBytes,
    sharesRequests: () => current.graphql.shareSubgraphRequests,
    readsHints: () => current.graphql.cache?.subgraphHeaders === true,
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
  const apiKeys = createApiKeyAccess(settings, log);
  if (apiKeys !== undefined) stack.use(apiKeys);

  const cache = openCacheStore(settings, log, metrics);
  stack.defer(() => cache.close());
  // With a store of its own, each process has to hear what the others dropped.
  const tell = settings.cache.store === 'memory' ? options.onInvalidate : undefined;
  const sharedCache = createTellingCache(cache, metrics.cache.onInvalidated, tell);
  const httpCache = createHttpCache({ store: sharedCache, call: upstreams.call, observer: metrics.cache });

  function begin(snapshot: Snapshot, graph: Graph): DataPlane {
    return createDataPlane({
      settings: current,
      snapshot,
      graph,
      limiter,
      authentication: { ...createAuthenticationObserver(log, metrics), revocations, apiKeys },
      usage,
      call: upstreams.call,
      httpCache,
      cacheStore: sharedCache,
      cacheMetrics: metrics.cache,
      engineOf,
      shedder,
      onUnexpected: (error, context) => log.error('unexpected error in a GraphQL operation', { error, id: context.id }),
      onDegraded: metrics.resilience.observeFieldFailure,
      onFieldBreaker(field, state) {
        metrics.resilience.observeFieldBreaker(field, state);
        log.warn('circuit breaker', { field, state });
      },
      onRouteBreaker: (route, state) => log.warn('circuit breaker', { route, state }),
    });
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
      versions.apply(snapshot);
      upstreams.apply(snapshot);
      if (dataPlane === undefined) dataPlane = begin(snapshot, graph);
      else dataPlane.publish(snapshot, graph);
    },
    async applied() {},
    async configure(next) {
      const bound = findBoundSettings(current, next);
      const shedding = current.loadShedding;
      current = next;
      upstreams.configure({ defaults: next.resilience, zone: next.zone, sessionSecrets: next.sessionSecrets });
      if (!isDeepStrictEqual(next.loadShedding, shedding)) shedder.configure(next.loadShedding);
      dataPlane?.configure(next);
      return bound;
    },
    async open() {
      if (dataPlane === undefined) throw new TypeError('there is nothing to serve yet');
      const plane = dataPlane;
      await Promise.all([revocations?.begun, apiKeys?.begun]);
      server = createPublicServer({
        graphqlPath: settings.graphql.path,
        maxHeaderBytes: settings.limits.maxHeaderBytes,
        headersTimeoutMs: settings.limits.headersTimeoutMs,
        current: () => plane.current,
        isReady: () => isReady,
        observer: createRequestObserver(log, metrics),
        deadlineMs: settings.deadlineMs,
        resolveClient: createClientResolver(settings.trustedProxies),
      });
      const url = await listen(server, settings.listen);
      isReady = true;
      return url;
    },
    status: async (service) => upstreams.status(service),
    poolHealth: upstreams.poolHealth,
    probe: upstreams.probe,
    renderMetrics: metrics.render,
    async invalidate(tags) {
      const count = await dropCached(cache, tags);
      metrics.cache.onInvalidated(count);
      return count;
    },
    async drain(drainOptions) {
      isReady = false;
      return server === undefined ? 'drained' : await drainServer(server, drainOptions);
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
    redisUrl,
    cache,
    limits,
    trustedProxies,
    log,
    workers,
    deadlineMs,
    'authentication.revocation': authentication.revocation,
    'authentication.managedApiKeys': authentication.managedApiKeys === true,
    'graphql.path': graphql.path,
    'graphql.subgraphErrors': graphql.subgraphErrors,
  };
}

/** Those that differ and would need another process to hold. */
export function findBoundSettings(before: Settings, after: Settings): readonly string[] {
  const [known, wanted] = [listBoundSettings(before), listBoundSettings(after)];
  return Object.keys(known).filter((name) => JSON.stringify(known[name]) !== JSON.stringify(wanted[name]));
}
