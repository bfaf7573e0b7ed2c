/** What the REST door does to heads of messages by the policies of a route. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ApplyCookieRules } from '../policies/cookie-rules.ts';
import { endToEndHeaders } from '../subgraphs/forwarding.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders } from './edge-headers.ts';
import { countDown } from './local-answers.ts';
import type { RequestTarget } from './request-target.ts';
import type { RouteTable, RouteTarget } from './route-table.ts';

/** The client's fields as the rules of the route want them for its service. */
export function buildForwardedHeaders(
  { edge, route }: RouteTarget,
  path: string,
  { rawHeaders }: IncomingMessage,
  context: GatewayRequest,
): string[] {
  const own = endToEndHeaders(rawHeaders);
  countDown(own, context);
  const headers = edge.request === null ? own : edge.request(own, context, path);
  if (route.host !== undefined) headers.push('host', route.host);
  else if (route.preserveHost) headers.push('host', context.client.host);
  return headers;
}

/**
 * Answers what a page asks before its request, where the route of that request has a policy: before authentication,
 * since no credentials come with it. Otherwise it is for the service, as any OPTIONS.
 */
export function answerPreflight(
  routes: RouteTable,
  target: RequestTarget,
  response: ServerResponse,
  context: GatewayRequest,
): boolean {
  const { headers } = context;
  // What it will say of itself is not said yet, but for where it goes and comes from.
  const method = String(headers['access-control-request-method']);
  const facts = { headers: {}, query: target.query, address: context.client.address, viewer: null };
  const match = routes.find(method, target.path, context.client.host, facts);
  if (match.kind !== 'found' || match.target.edge.cors === null) return false;
  const { cors } = match.target.edge;
  context.name = match.target.label;
  context.service = match.target.service;
  response.writeHead(204, [...edgeHeaders(context), ...cors.answerPreflight(headers)]);
  response.end();
  return true;
}

/** In place, the cookies that a service sets. */
export function rewriteCookies(headers: string[], apply: ApplyCookieRules): void {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() === 'set-cookie') headers[i + 1] = apply(headers[i + 1] ?? '');
  }
}
