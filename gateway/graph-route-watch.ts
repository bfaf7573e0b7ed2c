/** What the control plane knows of REST from the graph: which routes do not fit, and what of the schema they need. */
import type { UsersOf } from '../schema/field-usage.ts';
import type { Graph } from '../schema/graph.ts';
import { readOperationParts } from '../schema/operation-usage.ts';
import { bindGraphRoutes } from './graph-route.ts';
import type { GraphRoute } from './graph-route-options.ts';

type Routes = Readonly<Record<string, GraphRoute>>;
type Graphs = Pick<Graph, 'schema'>;

/** Creates a watch that tells when routes begin or cease to fit; once, not with every graph. */
export function createGraphRouteWatch(
  onChange: (route: string, misfits: readonly string[]) => void,
): (routes: Routes, graph: Graphs) => void {
  let known = new Map<string, string>();
  let last: { readonly routes: Routes; readonly graph: Graphs } | undefined;
  return (routes, graph) => {
    if (last?.routes === routes && last.graph === graph) return;
    last = { routes, graph };
    const next = new Map<string, string>();
    for (const { key, misfits } of bindGraphRoutes(routes, graph.schema)) {
      const messages = misfits.map(({ message }) => message);
      next.set(key, messages.join('\n'));
      if (messages.join('\n') !== (known.get(key) ?? '')) onChange(key, messages);
    }
    known = next;
  };
}

/**
 * Who uses what, with routes among them: their documents count as in use also while nobody asks, since whoever wrote them
 * means to.
 */
export function withGraphRoutes(
  users: () => UsersOf,
  current: () => { readonly routes: Routes; readonly graph: Graphs },
): () => UsersOf {
  return () => {
    const seen = users();
    const { routes, graph } = current();
    if (Object.keys(routes).length === 0) return seen;
    const lastSeen = new Date().toISOString();
    const bound = bindGraphRoutes(routes, graph.schema).filter(({ misfits }) => misfits.length === 0);
    const byRoute = bound.map(({ key, document, operation }) => ({
      use: { client: key, version: '', count: 1, lastSeen },
      coordinates: readOperationParts(graph.schema, document, operation.name?.value)?.coordinates ?? new Set<string>(),
    }));
    return (coordinate) => [
      ...seen(coordinate),
      ...byRoute.filter(({ coordinates }) => coordinates.has(coordinate)).map(({ use }) => use),
    ];
  };
}
