/** `GET /routes`: the routing table, in the order in which routes are asked. */
import { describePredicates } from '../subgraphs/route-match.ts';
import { ok } from './admin-request.ts';
import type { AdminAnswer } from './admin-server.ts';
import { findUnreached, sortRoutes } from './route-shadows.ts';
import type { RouteTable } from './route-table.ts';

export function listRoutes({ ranked }: RouteTable): AdminAnswer {
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
  return ok({ routes });
}
