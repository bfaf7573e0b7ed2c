/** The routes of the gateway's own, as they hold for one state of the data plane. */
import { checkRequirement } from '../policies/authorize.ts';
import { GatewayError } from '../policies/errors.ts';
import { buildRequirement, type Requirement } from '../policies/requirement.ts';
import type { Rights } from '../policies/rights.ts';
import type { Graph } from '../schema/graph.ts';
import type { Call } from '../subgraphs/call.ts';
import type { HttpCache } from '../subgraphs/http-cache.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import { buildAggregateRoute, type PartFailureListener } from './aggregate.ts';
import type { PartDependencies } from './aggregate-part.ts';
import type { Settings } from './config.ts';
import { FileTags } from './file-tags.ts';
import { bindGraphRoutes, buildGraphRoute } from './graph-route.ts';
import type { ErrorContract } from './graphql-errors.ts';
import { buildOpenapi } from './openapi.ts';
import { buildOpenapiRoute } from './openapi-route.ts';
import type { OpenapiSources } from './openapi-sources.ts';
import { buildOwnRoutes, type OwnRoutes } from './own-routes.ts';
import type { RouteTable } from './route-table.ts';
import { buildStaticRoute } from './static-folder.ts';

export interface OwnPlaneOptions {
  readonly call: Call;
  readonly cache: HttpCache;
  /** What services say of their routes. */
  readonly openapi: OpenapiSources;
  readonly onPartFailure: PartFailureListener;
  /** All routes of `rest`, and whether the graph has what their documents want. */
  readonly onGraphRoutes: (routes: readonly { readonly key: string; readonly fits: boolean }[]) => void;
}

export interface OwnPlaneState {
  readonly settings: Settings;
  readonly snapshot: Snapshot;
  readonly graph: Graph;
  readonly routes: RouteTable;
  readonly rights: Rights;
  readonly contract: ErrorContract;
}

export interface OwnPlane {
  /** Null where the configuration has no such route. */
  readonly own: OwnRoutes | null;
  /** The OpenAPI document of all REST routes. */
  readonly describe: () => Readonly<Record<string, unknown>>;
}

/** Creates the builder, which keeps what outlives a state. */
export function createOwnPlane(options: OwnPlaneOptions): (state: OwnPlaneState) => OwnPlane {
  const { call, cache, openapi: documents, onPartFailure, onGraphRoutes } = options;
  const tags = new FileTags();
  return (state) => {
    const { settings, graph, contract, routes } = state;
    const { static: folders, aggregate, rest, openapi } = settings.own;
    const assertMayAsk = createServiceCheck(state);
    const parts = { schema: graph.schema, contract, maxBodyBytes: settings.limits.maxGraphqlBodyBytes };
    const bound = bindGraphRoutes(rest, graph.schema);
    onGraphRoutes(bound.map(({ key, misfits }) => ({ key, fits: misfits.length === 0 })));
    const own = [
      ...bound.map((route) => buildGraphRoute(route, settings, parts)),
      ...Object.entries(aggregate).map(([path, options]) =>
        buildAggregateRoute(path, options, settings, { call, cache, assertMayAsk, onPartFailure }),
      ),
    ];
    const sources = { settings, targets: routes.targets, bound, own, schema: graph.schema, documents };
    const table = buildOwnRoutes(
      openapi === undefined ? own : [...own, buildOpenapiRoute(openapi, settings, sources)],
      folders.map((folder) => buildStaticRoute(folder, settings, tags)),
    );
    return { own: table, describe: () => buildOpenapi(sources) };
  };
}

/** What a service asks for all of its routes, it asks of whoever gets its answers by an aggregate. */
function createServiceCheck({ snapshot, rights }: OwnPlaneState): PartDependencies['assertMayAsk'] {
  const requirements = new Map<string, Requirement>();
  for (const { name, definition } of snapshot.services) {
    if (definition.authorize !== undefined) requirements.set(name, buildRequirement(definition.authorize));
  }
  return (service, context) => {
    const requirement = requirements.get(service);
    const refusal = requirement && checkRequirement(requirement, context.viewer, { rights, request: context });
    if (refusal) throw new GatewayError(refusal.code, refusal.message, { service, challenge: refusal.challenge });
  };
}
