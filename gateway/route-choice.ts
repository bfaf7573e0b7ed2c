/** Which route a request takes, and what is said to one that none takes. */
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import type { Viewer } from '../policies/request-context.ts';
import type { CallRequest } from '../subgraphs/call.ts';
import { assertUnambiguous } from './ambiguous-path.ts';
import type { GatewayRequest } from './context.ts';
import type { RequestTarget } from './request-target.ts';
import { buildForwardedHeaders } from './rest-edge.ts';
import type { Destination } from './retired-route.ts';
import type { RouteMatch } from './route-matcher.ts';
import type { RouteFacts } from './route-predicates.ts';
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
  /** Throws where none of the routes, of which the viewer decides, would take the request anyway. */
  readonly shed: (possible: readonly RouteTarget[]) => void;
  readonly authenticate: () => Promise<Viewer | null> | Viewer | null;
}

/** The route. Who is asking is found out before it only where the next route in order depends on that. */
export function matchRoute(asked: Asked, context: GatewayRequest): RouteChoice | Promise<RouteChoice> {
  const { routes, target } = asked;
  const { method, headers, client } = context;
  const question = { method, path: target.path, host: client.host };
  const facts = { headers, query: target.query, address: client.address, viewer: undefined };
  const match = routes.find(method, target.path, client.host, facts);
  if (match.kind === 'found') {
    assertUnambiguous(routes, question, facts, match.target);
    return { route: match.target, isAuthenticated: false };
  }
  if (match.kind !== 'needs-viewer') throw refuseUnmatched(match, method);
  asked.shed(match.possible);
  return matchByViewer(asked, question, facts, context);
}

async function matchByViewer(
  { routes, target, authenticate }: Asked,
  question: Parameters<typeof assertUnambiguous>[1],
  facts: RouteFacts,
  context: GatewayRequest,
): Promise<RouteChoice> {
  const { method, client } = context;
  context.viewer = await authenticate();
  const known = { ...facts, viewer: context.viewer };
  const second = routes.find(method, target.path, client.host, known);
  if (second.kind !== 'found') throw refuseUnmatched(second, method);
  assertUnambiguous(routes, question, known, second.target);
  return { route: second.target, isAuthenticated: true };
}

/** Why no route takes a request. */
export function refuseUnmatched(match: Exclude<RouteMatch<unknown>, { kind: 'found' }>, method: string): GatewayError {
  if (match.kind === 'wrong-method') {
    return new GatewayError('METHOD_NOT_ALLOWED', `This path does not take ${method}`, { allow: match.allow });
  }
  if (match.kind === 'too-long') {
    return new GatewayError('URI_TOO_LONG', 'The path is longer than what the expression of a route is tried on');
  }
  if (match.kind === 'none' && !match.unauthenticated) {
    return new GatewayError('ROUTE_NOT_FOUND', 'No route matches this path');
  }
  return new GatewayError('UNAUTHENTICATED');
}

/** A request as it goes to its service, whatever it is about to become there. */
export interface OutgoingRequest
  extends Pick<CallRequest, 'service' | 'method' | 'path' | 'accepts' | 'zone' | 'variant' | 'routedBy'> {
  readonly headers: string[];
}

/** `destination`: the route itself, or what replaces it, which has no variants and versions. `query`: as it goes out. */
export function buildOutgoing(
  route: RouteTarget,
  destination: Destination,
  query: string,
  target: RequestTarget,
  request: IncomingMessage,
  context: GatewayRequest,
): OutgoingRequest {
  const isReplaced = destination !== route;
  const headers = buildForwardedHeaders(route, target.path, request, context);
  const variant = route.choose === null || isReplaced ? null : takeVariant(route.choose, headers, context);
  const accepts = variant !== null ? variant.accepts : isReplaced ? undefined : route.accepts;
  // Routes that differ in a header may lead to one path at two versions: what a cache keeps is for one of them.
  const told = variant?.name ?? (accepts === undefined ? null : `version ${route.route.version}`);
  const zone = variant?.zone ?? route.findZone?.(context);
  const service = variant?.service ?? destination.service;
  return {
    service,
    method: context.method,
    path: destination.rewrite(target.path) + query,
    headers,
    ...(accepts !== undefined && { accepts }),
    ...(zone !== undefined && { zone }),
    ...(told !== null && { variant: told }),
    ...(service !== route.service && { routedBy: route.service }),
  };
}

/** Chooses the variant, and tells everybody. */
function takeVariant(choose: ChooseVariant, headers: string[], context: GatewayRequest): Variant {
  const variant = choose(context);
  context.variant = variant.name;
  if (variant.name !== null) headers.push('x-route-variant', variant.name);
  return variant;
}
