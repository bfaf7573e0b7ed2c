/** The calls on the routing table. */
import { describePredicates } from '../subgraphs/route-match.ts';
import { ok } from './admin-request.ts';
import type { AdminAnswer } from './admin-server.ts';
import { describeRetirement } from './retired-route.ts';
import { findUnreached, sortRoutes } from './route-shadows.ts';
import type { RouteTable } from './route-table.ts';
import type { RouteUsage } from './route-usage.ts';

/** `GET /routes`: the routing table, in the order in which routes are asked; and `own`, what the gateway answers itself. */
export function listRoutes({ ranked }: RouteTable, own: readonly object[]): AdminAnswer {
  const unreached = new Map(
    findUnreached(ranked).map(({ service, label, shadowedBy, why }) => [`${service} ${label}`, { shadowedBy, why }]),
  );
  const routes = sortRoutes(ranked).map(({ target }, index) => {
    const { label, service, route } = target;
    const why = unreached.get(`${service} ${label}`);
    const predicates = describePredicates(route.match);
    return {
      order: index + 1,
      label,
      service,
      ...(predicates !== '' && { predicates }),
      ...(why !== undefined && { shadowedBy: why.shadowedBy, unreached: why.why }),
      ...route,
    };
  });
  return ok({ routes, own });
}

/** `GET /routes/usage`: every retired route, those that nobody calls any more included. */
export function showRouteUsage({ targets }: RouteTable, usage: RouteUsage): AdminAnswer {
  const retired = targets.flatMap(({ label, service, route: { retire } }) => {
    if (retire === undefined) return [];
    const uses = usage.usesOf({ service, route: label });
    return [
      {
        label,
        service,
        ...describeRetirement(retire),
        calls: uses.reduce((sum, { served, moved, gone }) => sum + served + moved + gone, 0),
        lastSeen: uses[0] === undefined ? null : new Date(uses[0].lastSeenMs).toISOString(),
        clients: uses.map(({ service: _, route: __, lastSeenMs, ...use }) => ({
          ...use,
          lastSeen: new Date(lastSeenMs).toISOString(),
        })),
      },
    ];
  });
  return ok({ since: usage.since, routes: retired });
}
