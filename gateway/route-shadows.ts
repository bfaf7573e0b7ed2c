/** Routes that no request reaches: no mistake of the registry, but surely none of the author's wishes. */
import { RouteCoverIndex } from '../subgraphs/route-cover-index.ts';
import { compareRoutes, coversRoute, findContradiction, type RankedMatch } from '../subgraphs/route-order.ts';
import type { MatchedRoute } from './route-matcher.ts';
import type { RouteTarget } from './route-table.ts';

/** Why a route gets no requests. */
export interface UnreachedRoute {
  readonly service: string;
  readonly label: string;
  /** The route before it that takes all of its requests; null where it could take none anyway. */
  readonly shadowedBy: { readonly service: string; readonly label: string } | null;
  readonly why: string;
}

type Routes = readonly MatchedRoute<RouteTarget>[];

/** Routes in the order in which they are asked. */
export function sortRoutes(routes: Routes): Routes {
  return routes.toSorted((a, b) => compareRoutes(a.ranked, b.ranked));
}

/** All of them, in the order in which routes are asked. */
export function findUnreached(routes: Routes): readonly UnreachedRoute[] {
  const before = new RouteCoverIndex<Routes[number]>(routes.map(({ ranked }) => ranked));
  return sortRoutes(routes).flatMap((route): UnreachedRoute[] => {
    const { service, label } = route.target;
    const contradiction = findContradiction(route.ranked);
    if (contradiction !== null) return [{ service, label, shadowedBy: null, why: contradiction }];
    const shadow = findFirst(before, route.ranked);
    before.add(route);
    if (shadow === undefined) return [];
    const shadowedBy = { service: shadow.target.service, label: shadow.target.label };
    return [
      { service, label, shadowedBy, why: `${shadow.target.label} of ${shadowedBy.service} takes all its requests` },
    ];
  });
}

/** The one that is asked first of those that cover a route. */
function findFirst(before: RouteCoverIndex<Routes[number]>, ranked: RankedMatch): Routes[number] | undefined {
  let first: Routes[number] | undefined;
  for (const route of before.candidates(ranked)) {
    if (first !== undefined && compareRoutes(first.ranked, route.ranked) < 0) continue;
    if (coversRoute(route.ranked, ranked)) first = route;
  }
  return first;
}

/** Calls back with the unreached routes whenever they are others than the last time. */
export function createShadowWatch(onChange: (unreached: readonly UnreachedRoute[]) => void) {
  let last = '[]';
  return (routes: Routes): void => {
    const unreached = findUnreached(routes);
    const text = JSON.stringify(unreached);
    if (text === last) return;
    last = text;
    onChange(unreached);
  };
}
