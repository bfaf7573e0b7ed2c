/**
 * Paths that a service may take for another one: some (servlet containers above all) cut `;parameters` off every segment
 * before they look for a resource, so `/admin;x/users` is `/admin/users` there, and would have met another route here.
 */
import { GatewayError } from '../policies/errors.ts';
import type { RouteTable, RouteTarget } from './route-table.ts';

/** Throws BAD_REQUEST where the path without its parameters belongs to another route than the path as it stands. */
export function assertUnambiguous(
  routes: RouteTable,
  method: string,
  path: string,
  host: string,
  target: RouteTarget,
): void {
  if (!path.includes(';')) return;
  const plain = path.replaceAll(/;[^/]*/g, '').replaceAll(/\/{2,}/g, '/');
  const other = routes.find(method, plain, host);
  if (other.kind === 'found' && other.target !== target) {
    throw new GatewayError('BAD_REQUEST', 'Without its parameters the path belongs to another route');
  }
}
