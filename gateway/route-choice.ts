/** Which route a request takes, and what is said to one that none takes. */
import { GatewayError } from '../policies/errors.ts';
import type { Viewer } from '../policies/request-context.ts';
import type { GatewayRequest } from './context.ts';
import type { RequestTarget } from './request-target.ts';
import type { RouteMatch } from './route-matcher.ts';
import type { RouteTable, RouteTarget } from './route-table.ts';
import type { ChooseVariant, Variant } from './route-variants.ts';

export interface RouteChoice {
  readonly route: RouteTarget;
  /** Whether the viewer was established on the way: a route asks for claims. */
  readonly isAuthenticated: boolean;
}

interface Asked {
  readonly routes: RouteTable;
  readonly target: RequestTarget;
  readonly authenticate: () => Promise<Viewer | null> | Viewer | null;
}

/** The route. Who is asking is found out before it only where the next route in order depends on that. */
export async function matchRoute(
  { routes, target, authenticate }: Asked,
  context: GatewayRequest,
): Promise<RouteChoice> {
  const { method, headers, client } = context;
  const facts = { headers, query: target.query, address: client.address, viewer: undefined };
  const match = routes.find(method, target.path, client.host, facts);
  if (match.kind === 'found') return { route: match.target, isAuthenticated: false };
  if (match.kind !== 'needs-viewer') throw refuseUnmatched(match, method);
  context.viewer = await authenticate();
  const known = routes.find(method, target.path, client.host, { ...facts, viewer: context.viewer });
  if (known.kind === 'found') return { route: known.target, isAuthenticated: true };
  throw refuseUnmatched(known, method);
}

/** Why no route takes a request. */
export function refuseUnmatched(match: Exclude<RouteMatch<unknown>, { kind: 'found' }>, method: string): GatewayError {
  if (match.kind === 'wrong-method') {
    return new GatewayError('METHOD_NOT_ALLOWED', `This path does not take ${method}`, { allow: match.allow });
  }
  if (match.kind === 'none' && !match.unauthenticated) {
    return new GatewayError('ROUTE_NOT_FOUND', 'No route matches this path');
  }
  return new GatewayError('UNAUTHENTICATED');
}

/** Chooses the variant, and tells everybody. */
export function takeVariant(choose: ChooseVariant, headers: string[], context: GatewayRequest): Variant {
  const variant = choose(context);
  context.variant = variant.name;
  if (variant.name !== null) headers.push('x-route-variant', variant.name);
  return variant;
}
