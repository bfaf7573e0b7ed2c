/** Two services cannot have the same route: which of them answers would depend on who came first. */
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { listRoutes } from './grpc-schema.ts';
import { RouteCoverIndex } from './route-cover-index.ts';
import { buildMatchKeys, type RouteMatch } from './route-match.ts';
import { capturesByPrecedence, type RankedMatch, rankMatch } from './route-order.ts';
import type { Service } from './snapshot.ts';

/** A route, and where it stands in the definition of its service. */
interface PlacedRoute {
  readonly service: string;
  readonly match: RouteMatch;
  readonly index: number;
  readonly path: string;
}

interface PlacedMatch extends RankedMatch {
  readonly path: string;
}

/** Throws CONFLICT when a route exists twice, naming both services. */
export function assertNoRouteConflicts(services: readonly Service[]): void {
  const reasons = findRouteConflicts(services);
  const [first] = reasons;
  if (first !== undefined) throw new GatewayError('CONFLICT', first.message, { service: first.service, reasons });
}

/** Every route that exists twice. The reason concerns the service that comes later in the list. */
export function findRouteConflicts(services: readonly Service[]): readonly ErrorReason[] {
  const routes = services.flatMap(placeRoutes);
  const claims = new Map<string, PlacedRoute>();
  const reasons: ErrorReason[] = [];
  for (const route of routes) {
    for (const key of buildMatchKeys(route.match)) {
      const other = claims.get(key);
      if (other !== undefined) {
        const message = `${key} is a route of the service ${other.service} already (${other.path})`;
        reasons.push({ message, service: route.service, path: route.path });
        break; // one reason per route says enough
      }
      claims.set(key, route);
    }
  }
  return [...reasons, ...findCaptures(routes)];
}

/** Those that gRPC brings stand behind the others, and under its name. */
function placeRoutes({ name: service, definition }: Service): PlacedRoute[] {
  const written = definition.routes?.length ?? 0;
  return listRoutes(definition).map(({ match }, index) => ({
    service,
    match,
    index,
    path: index < written ? `/routes/${index}` : '/grpc',
  }));
}

/** Among a service's own routes `precedence` says what it likes; those of others it may not put out of use. */
function findCaptures(routes: readonly PlacedRoute[]): ErrorReason[] {
  if (!routes.some(({ match }) => (match.precedence ?? 0) !== 0)) return [];
  const all = routes.map(({ match, service, index, path }) => ({ ...rankMatch(match, service, index), path }));
  const levels = all.map(({ match }) => match.precedence ?? 0);
  const lowest = levels.reduce((least, level) => Math.min(least, level), Number.POSITIVE_INFINITY);
  const raised = new RouteCoverIndex<{ readonly ranked: PlacedMatch }>(all);
  for (const ranked of all) if ((ranked.match.precedence ?? 0) > lowest) raised.add({ ranked });
  const captured = new Map<PlacedMatch, PlacedMatch>();
  for (const route of all) {
    for (const { ranked } of raised.candidates(route)) {
      if (!captured.has(ranked) && capturesByPrecedence(ranked, route)) captured.set(ranked, route);
    }
  }
  return all.flatMap((route) => {
    const other = captured.get(route);
    return other === undefined ? [] : [describeCapture(route, other)];
  });
}

/** The route itself has a `precedence`, so it is a written one. */
function describeCapture({ service, path }: PlacedMatch, captured: PlacedMatch): ErrorReason {
  return {
    message: `by its \`precedence\` it would take every request of ${captured.match.path} of the service ${captured.service} (${captured.path})`,
    service,
    path,
  };
}
