/**
 * Paths that a service may take for another one: some (servlet containers above all) cut `;parameters` off every segment
 * before they look for a resource, so `/admin;x/users` is `/admin/users` there, and would have met another route here.
 */
import { GatewayError } from '../policies/errors.ts';
import type { RouteFacts } from './route-predicates.ts';
import type { RouteTable, RouteTarget } from './route-table.ts';

/**
 * Throws BAD_REQUEST where the path without its parameters belongs to another route than the path as it stands, or may do
 * so: to one that asks for claims, whoever it is that asks.
 */
export function assertUnambiguous(
  routes: RouteTable,
  { method, path, host }: { readonly method: string; readonly path: string; readonly host: string },
  facts: RouteFacts,
  target: RouteTarget,
): void {
  if (!path.includes(';')) return;
  const plain = path.replaceAll(/;[^/]*/g, '').replaceAll(/\/{2,}/g, '/');
  const other = routes.find(method, plain, host, facts);
  const isSame = other.kind === 'found' && other.target === target;
  const isFree = other.kind === 'wrong-method' || (other.kind === 'none' && !other.unauthenticated);
  if (!isSame && !isFree) {
    throw new GatewayError('BAD_REQUEST', 'Without its parameters the path belongs to another route');
  }
}
