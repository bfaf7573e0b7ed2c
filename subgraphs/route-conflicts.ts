/** Two services cannot have the same route: which of them answers would depend on who came first. */
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { RouteCoverIndex } from './route-cover-index.ts';
import { buildMatchKeys } from './route-match.ts';
import { capturesByPrecedence, type RankedMatch, rankMatch } from './route-order.ts';
import type { Service } from './snapshot.ts';

interface Claim {
  readonly service: string;
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
  const claims = new Map<string, Claim>();
  const reasons: ErrorReason[] = [];
  for (const { name, definition } of services) {
    definition.routes?.forEach(({ match }, index) => {
      const path = `/routes/${index}`;
      for (const key of buildMatchKeys(match)) {
        const other = claims.get(key);
        if (other !== undefined) {
          const message = `${key} is a route of the service ${other.service} already (${other.path})`;
          reasons.push({ message, service: name, path });
          break; // one reason per route says enough
        }
        claims.set(key, { service: name, path });
      }
    });
  }
  return [...reasons, ...findCaptures(services)];
}

/** Among a service's own routes `precedence` says what it likes; those of others it may not put out of use. */
function findCaptures(services: readonly Service[]): ErrorReason[] {
  const hasPrecedence = services.some(({ definition }) =>
    definition.routes?.some(({ match }) => (match.precedence ?? 0) !== 0),
  );
  if (!hasPrecedence) return [];
  const all = services.flatMap(({ name, definition }) =>
    (definition.routes ?? []).map(({ match }, index) => rankMatch(match, name, index)),
  );
  const levels = all.map(({ match }) => match.precedence ?? 0);
  const lowest = levels.reduce((least, level) => Math.min(least, level), Number.POSITIVE_INFINITY);
  const raised = new RouteCoverIndex<{ readonly ranked: RankedMatch }>(all);
  for (const ranked of all) if ((ranked.match.precedence ?? 0) > lowest) raised.add({ ranked });
  const captured = new Map<RankedMatch, RankedMatch>();
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

function describeCapture({ service, index }: RankedMatch, captured: RankedMatch): ErrorReason {
  const { path } = captured.match;
  return {
    message: `by its \`precedence\` it would take every request of ${path} of the service ${captured.service} (/routes/${captured.index})`,
    service,
    path: `/routes/${index}`,
  };
}
