/** What the admin API tells of the routes that the gateway answers itself. */
import type { Graph } from '../schema/graph.ts';
import type { Settings } from './config.ts';
import { bindGraphRoutes } from './graph-route.ts';

/** What holds now. */
export interface OwnRouteView {
  readonly settings: Settings;
  readonly graph: Graph;
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
