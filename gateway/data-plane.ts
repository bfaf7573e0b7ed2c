/**
 * What answers requests: the doors, the routing table and the generation of the graph, replaced as one whenever the
 * registry or the configuration changes. A request takes what is current when it begins and stays with it.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Authenticator, type AuthenticatorDependencies, createAuthenticator } from '../policies/authenticate.ts';
import type { CacheStore } from '../policies/cache-store.ts';
import type { DegradedListener } from '../policies/degradation.ts';
import { LastGoodAnswers } from '../policies/last-good-answers.ts';
import type { LoadShedder } from '../policies/load-shedding.ts';
import type { PersistedOperations } from '../policies/persisted-operations.ts';
import type { QueryLimitObserver } from '../policies/query-limit-documents.ts';
import { createQueryLimiter } from '../policies/query-limits.ts';
import type { RateLimiter } from '../policies/rate-limit.ts';
import { compileRules } from '../policies/rate-limit-rule.ts';
import { createRights, type Rights } from '../policies/rights.ts';
import { createViewerDescription } from '../policies/viewer-token.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Graph } from '../schema/graph.ts';
import type { PlannedEngine } from '../schema/planned-engine.ts';
import type { Call } from '../subgraphs/call.ts';
import { GrpcSchemas } from '../subgraphs/grpc-schema.ts';
import type { HttpCache } from '../subgraphs/http-cache.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import type { Settings } from './config.ts';
import { buildGatewayAnswer, buildGraphqlEdge, type ShapeAnswer } from './edge-policies.ts';
import type { FieldGuards } from './field-guards.ts';
import { createGraphqlDoor, type GraphqlDoor } from './graphql-door.ts';
import type { UnexpectedErrorListener } from './graphql-errors.ts';
import { createGraphqlGeneration, type GraphqlGeneration } from './graphql-generation.ts';
import type { CacheMetrics } from './metrics-cache.ts';
import type { OwnMetrics } from './metrics-own.ts';
import type { Mirrors } from './mirrors.ts';
import type { OpenapiSources } from './openapi-sources.ts';
import { createOwnDoor, type OwnDoor } from './own-door.ts';
import { createOwnPlane, type OwnPlane } from './own-plane.ts';
import type { OwnRoutes } from './own-routes.ts';
import type { PluginSet } from './plugin-set.ts';
import type { InvalidListener } from './request-validity.ts';
import { createRestDoor, type RestDoor } from './rest-door.ts';
import { RouteGuards } from './route-guards.ts';
import { buildRouteTable, type RouteTable } from './route-table.ts';
import type { RouteUsage } from './route-usage.ts';
import { listAllAskerParts } from './subgraph-rules.ts';
import type { Upgrades } from './upgrades.ts';

/** One immutable state of the data plane. */
export interface DataPlaneState {
  readonly graphqlDoor: GraphqlDoor;
  readonly restDoor: RestDoor;
  readonly ownDoor: OwnDoor;
  /** What the gateway answers itself; null where that is nothing. */
  readonly own: OwnRoutes | null;
  /** The OpenAPI document of all REST routes. */
  readonly describe: OwnPlane['describe'];
  readonly generation: GraphqlGeneration;
  readonly routes: RouteTable;
  /** What requests ask of the operator's own code; undefined without any. */
  readonly plugins: PluginSet | undefined;
  /** What policies make of the heads of answers at the GraphQL door, and of those that no route gave. */
  readonly graphqlAnswer: ShapeAnswer | null;
  readonly gatewayAnswer: ShapeAnswer | null;
}

export interface DataPlane {
  readonly current: DataPlaneState;
  readonly authenticator: Authenticator;
  /** What roles give, and what policies stand for. */
  readonly rights: Rights;
  /** Swaps in what the registry says now. A graph that did not change keeps its generation, and its caches. */
  publish(snapshot: Snapshot, graph: Graph, settings?: Settings, plugins?: PluginSet): void;
  /** Swaps in other settings; what does not depend on them stays. */
  configure(settings: Settings, plugins?: PluginSet): void;
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
  /** Who calls routes that are retired. */
  readonly routeUsage: RouteUsage;
  readonly call: Call;
  readonly mirrors: Mirrors;
  readonly httpCache: HttpCache;
  readonly upgrades: Upgrades;
  readonly openapi: OpenapiSources;
  readonly cacheStore: CacheStore;
  readonly cacheMetrics: CacheMetrics;
  /** The engine for planned operations of a graph. */
  readonly engineOf: (graph: Graph) => PlannedEngine;
  readonly shedder: LoadShedder;
  readonly plugins?: PluginSet | undefined;
  readonly fieldGuards: FieldGuards;
  readonly onUnexpected: UnexpectedErrorListener;
  readonly persisted: PersistedOperations;
  readonly queryObserver: QueryLimitObserver;
  readonly onDegraded?: DegradedListener;
  /** A service names a policy in `@policy` that the configuration does not have: nobody passes it. */
  readonly onUnknownPolicy?: (policy: string, services: readonly string[]) => void;
  readonly onInvalidRequest?: InvalidListener;
  /** Who hears of the routes that the gateway answers itself. */
  readonly ownObserver: OwnMetrics;
  readonly onRouteFallback?: (route: string, code: string, substitute: 'value' | 'service') => void;
  readonly onRouteBreaker?: (route: string, state: 'closed' | 'open' | 'half-open') => void;
}

/** Creates the data plane with a first state. */
export function createDataPlane(options: DataPlaneOptions): DataPlane {
  const { limiter, call, engineOf, shedder, fieldGuards, onUnexpected } = options;
  let { settings, snapshot, graph, plugins } = options;
  let forwardedHeaders = listAllAskerParts(settings, snapshot);
  let authenticator = createAuthenticator(settings.authentication, options.authentication);
  let rights = createRights(settings.authorization);
  let describeViewer = createViewerDescription(settings.viewer);

  const grpcSchemas = new GrpcSchemas();
  const lastGood = new LastGoodAnswers();
  const routeGuards = new RouteGuards(options.onRouteBreaker && { onBreakerChange: options.onRouteBreaker });
  fieldGuards.configure(settings.fields);
  fieldGuards.follow(graph);

  const buildDoors = () => {
    const edge = buildGraphqlEdge(settings.edge, settings.graphql.edge);
    return {
      graphqlAnswer: edge.answer,
      gatewayAnswer: buildGatewayAnswer(settings.edge),
      graphqlDoor: createGraphqlDoor({
        edge,
        authenticator,
        describeViewer,
        maxBodyBytes: settings.limits.maxGraphqlBodyBytes,
        graphiql: settings.graphql.graphiql,
        tellsFreshness: settings.graphql.cache?.clientHeaders === true,
        shedder,
        contract: { onUnexpected, suggestions: settings.graphql.suggestions },
        persisted: options.persisted,
      }),
      ownDoor: createOwnDoor({ authenticator, describeViewer, rights, limiter, shedder, ...options.ownObserver }),
      restDoor: createRestDoor({
        authenticator,
        describeViewer,
        rights,
        limiter,
        call,
        cache: options.httpCache,
        shedder,
        guards: routeGuards,
        onInvalid: options.onInvalidRequest ?? (() => {}),
        usage: options.routeUsage,
        mirrors: options.mirrors,
        openapi: options.openapi,
        onFallback: options.onRouteFallback ?? (() => {}),
        upgrades: options.upgrades,
      }),
    };
  };
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
  const buildGeneration = () => {
    for (const [name, services] of graph.policyNames) {
      if (rights.findPolicy(name) === undefined) options.onUnknownPolicy?.(name, services);
    }
    return createGraphqlGeneration(graph, {
      limiter,
      rules: compileRules(settings.rateLimit),
      cost: settings.graphql.cost,
      queryLimits: {
        limiter: createQueryLimiter(settings.graphql.limits),
        trustsPersisted: settings.graphql.persistedOperations.trustPersisted,
        observer: options.queryObserver,
      },
      persisted: options.persisted,
      authenticationRequired: settings.authentication.required === true,
      rights,
      fields: settings.fields,
      types: settings.types,
      introspection: settings.graphql.introspection,
      maxBatchSize: settings.graphql.maxBatchSize,
      path: settings.graphql.path,
      planned: settings.graphql.engine === 'auto' ? buildPlanned() : undefined,
      usage: options.usage,
      fieldExecution:
        fieldGuards.all.size === 0
          ? undefined
          : {
              guards: fieldGuards.all,
              lastGood,
              forwardedHeaders: () => forwardedHeaders,
              onDegraded: options.onDegraded ?? (() => {}),
            },
      responses: buildResponses(),
      contract: { onUnexpected, suggestions: settings.graphql.suggestions },
      plugins,
    });
  };
  const buildRoutes = () => {
    const routes = buildRouteTable(snapshot, {
      maxBodyBytes: settings.limits.maxBodyBytes,
      authenticationRequired: settings.authentication.required === true,
      rateLimit: settings.rateLimit,
      edge: settings.edge,
      grpcSchemas,
    });
    routeGuards.configure(routes.targets);
    options.mirrors.configure(routes.targets);
    return routes;
  };

  const planOwn = createOwnPlane({
    call,
    cache: options.httpCache,
    openapi: options.openapi,
    ...options.ownObserver,
  });
  const buildOwn = (routes: RouteTable) => {
    const contract = { onUnexpected, suggestions: settings.graphql.suggestions };
    return planOwn({ settings, snapshot, graph, routes, rights, contract });
  };
  const buildState = (): DataPlaneState => {
    const routes = buildRoutes();
    return { ...buildDoors(), generation: buildGeneration(), routes, ...buildOwn(routes), plugins };
  };
  let current = buildState();
  function configure(nextSettings: Settings, nextPlugins?: PluginSet): void {
    // A new authenticator knows no keys and would need the identity provider at once: only where it must be.
    if (!isDeepStrictEqual(nextSettings.authentication, settings.authentication)) {
      authenticator = createAuthenticator(nextSettings.authentication, options.authentication);
    }
    rights = createRights(nextSettings.authorization);
    describeViewer = createViewerDescription(nextSettings.viewer);
    settings = nextSettings;
    plugins = nextPlugins;
    forwardedHeaders = listAllAskerParts(settings, snapshot);
    fieldGuards.configure(settings.fields);
    current = buildState();
  }
  return {
    get current() {
      return current;
    },
    get authenticator() {
      return authenticator;
    },
    get rights() {
      return rights;
    },
    publish(nextSnapshot, nextGraph, nextSettings = settings, nextPlugins = undefined) {
      const graphChanged = nextGraph !== graph;
      const routesChanged = !haveSameRoutes(nextSnapshot, snapshot);
      snapshot = nextSnapshot;
      forwardedHeaders = listAllAskerParts(settings, snapshot);
      graph = nextGraph;
      fieldGuards.follow(graph);
      if (nextSettings !== settings || nextPlugins !== plugins) return configure(nextSettings, nextPlugins);
      const routes = routesChanged ? buildRoutes() : current.routes;
      const generation = graphChanged ? buildGeneration() : current.generation;
      const own = graphChanged || routesChanged ? buildOwn(routes) : {};
      current = { ...current, generation, routes, ...own };
    },
    configure,
  };
}

/** A heartbeat or a new instance leaves the routes alone: the definitions are still the same objects. */
function haveSameRoutes(a: Snapshot, b: Snapshot): boolean {
  return (
    a.services.length === b.services.length &&
    a.services.every((service, index) => service.definition === b.services[index]?.definition)
  );
}
