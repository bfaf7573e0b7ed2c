/**
 * Paths that a service may take for another one: some (servlet containers above all) cut `;parameters` off every segment
 * before they look for a resource, so `/admin;x/users` is `/admin/users` there, and would have met another route here. Some
 * decode `%3b` first, and old ones cut off all from the first parameter on.
 */
import { GatewayError } from '../policies/errors.ts';
import type { OwnRoutes } from './own-routes.ts';
import type { RouteFacts } from './route-predicates.ts';
import type { RouteTable, RouteTarget } from './route-table.ts';

const firstParameter = /;|%3b/i;
const parameters = /(?:;|%3b)[^/]*/gi;

/**
 * Throws BAD_REQUEST where the path without its parameters belongs to another route than the path as it stands, may do so (to
 * one that asks for claims, whoever it is that asks), or belongs to none.
 */
export function assertUnambiguous(
  routes: RouteTable,
  { method, path, host }: { readonly method: string; readonly path: string; readonly host: string },
  facts: RouteFacts,
  target: RouteTarget,
): void {
  if (!firstParameter.test(path)) return;
  for (const reading of ['segments', 'beginning'] as const) {
    const other = routes.find(method, read(path, reading), host, facts);
    const isSame = other.kind === 'found' && other.target === target;
    const isNobodys = other.kind === 'wrong-method' || (other.kind === 'none' && !other.unauthenticated);
    // A route that names parameters means them. What stands in front of them alone is a resource of few services.
    const isFree = isNobodys && (reading === 'beginning' || namesParameters(target));
    if (!isSame && !isFree) {
      throw new GatewayError('BAD_REQUEST', 'Without its parameters the path belongs to another route, or to none');
    }
  }
}

/**
 * Throws BAD_REQUEST for a path that is, in another spelling, one of those the gateway answers itself: the service behind a
 * wider route may have something there that the gateway has put itself in front of.
 */
export function assertNotOwn(path: string, method: string, graphqlPath: string, own: OwnRoutes | null): void {
  const mayBeOther = firstParameter.test(path);
  if (!mayBeOther && !path.includes('%')) return;
  const readings = mayBeOther ? [read(path, 'segments'), read(path, 'beginning')] : [path];
  for (const reading of readings) {
    if (decode(reading) === graphqlPath || (mayBeOther && own?.find(method, reading)?.kind === 'found')) {
      throw new GatewayError('BAD_REQUEST', 'The path is another spelling of one that no service answers');
    }
  }
}

/** The path as it is without parameters. */
function read(path: string, reading: 'segments' | 'beginning'): string {
  if (reading === 'segments') return path.replaceAll(parameters, '').replaceAll(/\/{2,}/g, '/');
  return path.slice(0, path.search(firstParameter));
}

function namesParameters({ route: { match } }: RouteTarget): boolean {
  return firstParameter.test(match.path) || (match.regex !== undefined && firstParameter.test(match.regex));
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
