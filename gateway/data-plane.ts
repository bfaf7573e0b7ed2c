/**
 * What answers requests: the doors, the routing table and the generation of the graph, replaced as one whenever the
 * registry or the configuration changes. A request takes what is current when it begins and stays with it.
 */
import { isDeepStrictEqual } from 'node:util';
import { type AuthenticatorDependencies, createAuthenticator } from '../policies/authenticate.ts';
import type { CacheStore } from '../policies/cache-store.ts';
import { FieldGuard, hasResilience } from '../policies/field-resilience.ts';
import { LastGoodAnswers } from '../policies/last-good-answers.ts';
import type { LoadShedder } from '../policies/load-shedding.ts';
import type { RateLimiter } from '../policies/rate-limit.ts';
import { compileRules } from '../policies/rate-limit-rule.ts';
import { createViewerDescription } from '../policies/viewer-token.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Graph } from '../schema/graph.ts';
import type { PlannedEngine } from '../schema/planned-engine.ts';
import type { Call } from '../subgraphs/call.ts';
import type { HttpCache } from '../subgraphs/http-cache.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import type { FieldPolicy, Settings } from './config.ts';
import type { DegradedListener } from './field-execution.ts';
import { createGraphqlDoor, type GraphqlDoor } from './graphql-door.ts';
import type { UnexpectedErrorListener } from './graphql-errors.ts';
import { createGraphqlGeneration, type GraphqlGeneration } from './graphql-generation.ts';
import type { CacheMetrics } from './metrics-cache.ts';
import { createRestDoor, type RestDoor } from './rest-door.ts';
import { RouteGuards } from './route-guards.ts';
import { buildRouteTable, type RouteTable } from './route-table.ts';

/** One immutable state of the data plane. */
export interface DataPlaneState {
  readonly graphqlDoor: GraphqlDoor;
  readonly restDoor: RestDoor;
  readonly generation: GraphqlGeneration;
  readonly routes: RouteTable;
}

export interface DataPlane {
  readonly current: DataPlaneState;
  /** Swaps in what the registry says now. A graph that did not change keeps its generation, and its caches. */
  publish(snapshot: Snapshot, graph: Graph): void;
  /** Swaps in other settings; what does not depend on them stays. */
  configure(settings: Settings): void;
}

export interface DataPlaneOptions {
  readonly settings: Settings;
  readonly snapshot: Snapshot;
  readonly graph: Graph;
  readonly limiter: RateLimiter;
  /** What authentication is done with. */
  readonly authentication?: AuthenticatorDependencies;
  /** Who uses what of the graph. */
  readonly usage?: FieldUsage;
  readonly call: Call;
  readonly httpCache: HttpCache;
  readonly cacheStore: CacheStore;
  readonly cacheMetrics: CacheMetrics;
  /** The engine for planned operations of a graph. */
  readonly engineOf: (graph: Graph) => PlannedEngine;
  readonly shedder: LoadShedder;
  readonly onUnexpected: UnexpectedErrorListener;
  readonly onDegraded?: DegradedListener;
  readonly onFieldBreaker?: (field: string, state: 'closed' | 'open' | 'half-open') => void;
  readonly onRouteBreaker?: (route: string, state: 'closed' | 'open' | 'half-open') => void;
}

/** Creates the data plane with a first state. */
export function createDataPlane(options: DataPlaneOptions): DataPlane {
  const { limiter, call, engineOf, shedder, onUnexpected } = options;
  let { settings, snapshot, graph } = options;
  let forwardedHeaders = listForwardedHeaders(snapshot);
  let authenticator = createAuthenticator(settings.authentication, options.authentication);

  let describeViewer = createViewerDescription(settings.viewer);

  const lastGood = new LastGoodAnswers();
  const routeGuards = new RouteGuards(options.onRouteBreaker && { onBreakerChange: options.onRouteBreaker });
  let guards = buildGuards(settings.fields, new Map(), options);

  const buildDoors = () => ({
    graphqlDoor: createGraphqlDoor({
      authenticator,
      describeViewer,
      maxBodyBytes: settings.limits.maxGraphqlBodyBytes,
      graphiql: settings.graphql.graphiql,
      tellsFreshness: settings.graphql.cache?.clientHeaders === true,
      shedder,
      onUnexpected,
    }),
    restDoor: createRestDoor({
      authenticator,
      describeViewer,
      limiter,
      call,
      cache: options.httpCache,
      shedder,
      guards: routeGuards,
    }),
  });
  const buildPlanned = () => ({
    engine: engineOf(graph),
    ...(settings.graphql.shareOperations && { shareOperations: () => forwardedHeaders }),
  });
  const buildResponses = () =>
    settings.graphql.cache === null
      ? undefined
      : {
          ...settings.graphql.cache,
          store: options.cacheStore,
          metrics: options.cacheMetrics,
          forwardedHeaders: () => forwardedHeaders,
        };
  const buildGeneration = () =>
    createGraphqlGeneration(graph, {
      limiter,
      rules: compileRules(settings.rateLimit),
      cost: settings.graphql.cost,
      authenticationRequired: settings.authentication.required === true,
      fields: settings.fields,
      introspection: settings.graphql.introspection,
      maxBatchSize: settings.graphql.maxBatchSize,
      path: settings.graphql.path,
      planned: settings.graphql.engine === 'auto' ? buildPlanned() : undefined,
      usage: options.usage,
      fieldExecution:
        guards.size === 0
          ? undefined
          : {
              guards,
              lastGood,
              forwardedHeaders: () => forwardedHeaders,
              onDegraded: options.onDegraded ?? (() => {}),
            },
      responses: buildResponses(),
      onUnexpected,
    });
  const buildRoutes = () => {
    const routes = buildRouteTable(snapshot, {
      maxBodyBytes: settings.limits.maxBodyBytes,
      authenticationRequired: settings.authentication.required === true,
      rateLimit: settings.rateLimit,
    });
    routeGuards.configure(routes.targets);
    return routes;
  };

  let current: DataPlaneState = {
    ...buildDoors(),
    generation: buildGeneration(),
    routes: buildRoutes(),
  };
  return {
    get current() {
      return current;
    },
    publish(nextSnapshot, nextGraph) {
      const graphChanged = nextGraph !== graph;
      const routesChanged = !haveSameRoutes(nextSnapshot, snapshot);
      snapshot = nextSnapshot;
      forwardedHeaders = listForwardedHeaders(snapshot);
      graph = nextGraph;
      current = {
        ...current,
        ...(graphChanged && { generation: buildGeneration() }),
        ...(routesChanged && { routes: buildRoutes() }),
      };
    },
    configure(nextSettings) {
      // A new authenticator knows no keys and would need the identity provider at once: only where it must be.
      if (!isDeepStrictEqual(nextSettings.authentication, settings.authentication)) {
        authenticator = createAuthenticator(nextSettings.authentication, options.authentication);
      }
      describeViewer = createViewerDescription(nextSettings.viewer);
      settings = nextSettings;
      guards = buildGuards(settings.fields, guards, options);
      current = {
        ...buildDoors(),
        generation: buildGeneration(),
        routes: buildRoutes(),
      };
    },
  };
}

/** One for each field that asks for it. A field that goes on to ask keeps what its breaker knows. */
function buildGuards(
  fields: Readonly<Record<string, FieldPolicy>>,
  known: ReadonlyMap<string, FieldGuard>,
  { onFieldBreaker }: Pick<DataPlaneOptions, 'onFieldBreaker'>,
): ReadonlyMap<string, FieldGuard> {
  const guards = new Map<string, FieldGuard>();
  for (const [name, policy] of Object.entries(fields)) {
    if (!hasResilience(policy)) continue;
    const guard =
      known.get(name) ??
      new FieldGuard(name, policy, onFieldBreaker === undefined ? {} : { onBreakerChange: onFieldBreaker });
    guard.configure(policy);
    guards.set(name, guard);
  }
  return guards;
}

/** The client's headers that any service of a snapshot gets, in lower case and sorted. */
function listForwardedHeaders({ services }: Snapshot): readonly string[] {
  const names = services.flatMap(({ definition }) => definition.graphql?.forwardHeaders ?? []);
  return [...new Set(names.map((name) => name.toLowerCase()))].toSorted();
}

/** A heartbeat or a new instance leaves the routes alone: the definitions are still the same objects. */
function haveSameRoutes(a: Snapshot, b: Snapshot): boolean {
  return (
    a.services.length === b.services.length &&
    a.services.every((service, index) => service.definition === b.services[index]?.definition)
  );
}
