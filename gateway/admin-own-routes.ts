/** What the admin API tells of the routes that the gateway answers itself. */
import type { Graph } from '../schema/graph.ts';
import { ok } from './admin-request.ts';
import type { AdminAnswer } from './admin-server.ts';
import { buildAggregateRoute } from './aggregate.ts';
import type { Settings } from './config.ts';
import { bindGraphRoutes, buildGraphRoute } from './graph-route.ts';
import { buildOpenapi } from './openapi.ts';
import type { RouteTable } from './route-table.ts';

/** What holds now, policies included. */
export interface OwnRouteView {
  readonly settings: Settings;
  readonly graph: Graph;
  readonly routes: RouteTable;
}

/** In the order in which they are looked for. */
export function listOwnRoutes({ settings, graph }: OwnRouteView): readonly Readonly<Record<string, unknown>>[] {
  const { static: folders, aggregate, rest, openapi } = settings.own;
  return [
    ...bindGraphRoutes(rest, graph.schema).map(({ key, misfits, options }) => ({
      label: key,
      kind: 'rest',
      fits: misfits.length === 0,
      ...(misfits.length > 0 && { misfits }),
      ...options,
    })),
    ...Object.entries(aggregate).map(([path, options]) => ({ label: `GET ${path}`, kind: 'aggregate', ...options })),
    ...(openapi === undefined
      ? []
      : [{ label: `GET ${openapi.path ?? '/openapi.json'}`, kind: 'openapi', ...openapi }]),
    ...folders.map((options) => ({ label: `GET ${options.path}`, kind: 'static', ...options })),
  ];
}

/** The document of all REST routes. */
export function showOpenapi({ settings, graph, routes }: OwnRouteView): AdminAnswer {
  const bound = bindGraphRoutes(settings.own.rest, graph.schema);
  // Nobody asks these: only what holds for them is looked at.
  const never = () => {
    throw new TypeError('a route of a description is not asked');
  };
  const parts = { schema: graph.schema, contract: { onUnexpected: never }, maxBodyBytes: 0 };
  const calls = { call: never, cache: { serve: never }, assertMayAsk: never, onPartFailure: never };
  const own = [
    ...bound.map((route) => buildGraphRoute(route, settings, parts)),
    ...Object.entries(settings.own.aggregate).map(([path, options]) =>
      buildAggregateRoute(path, options, settings, calls),
    ),
  ];
  return ok(buildOpenapi({ settings, targets: routes.targets, bound, own, schema: graph.schema }));
}
