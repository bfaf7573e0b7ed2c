/** The calls on the routing table. */
import { ok } from './admin-request.ts';
import type { AdminAnswer } from './admin-server.ts';
import { describeRetirement } from './retired-route.ts';
import type { RouteTable } from './route-table.ts';
import type { RouteUsage } from './route-usage.ts';

/** `GET /routes`. */
export function listRoutes({ targets }: RouteTable): AdminAnswer {
  return ok({ routes: targets.map(({ label, service, route }) => ({ label, service, ...route })) });
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
