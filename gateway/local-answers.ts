/** What the gateway answers for itself whatever the routes say, by method (RFC 9110 sections 7.6.2, 9.3.6 to 9.3.8). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import type { RequestTarget } from './request-target.ts';
import type { RouteTable } from './route-table.ts';

const generalMethods: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** `OPTIONS *`: asks about the server, not about a resource. */
export function isServerWide({ method, url }: IncomingMessage): boolean {
  return url === '*' && method === 'OPTIONS';
}

/** Answers OPTIONS with the methods that there are. */
export function answerOptions(
  allow: readonly string[] | null,
  response: ServerResponse,
  context: GatewayRequest,
): void {
  const headers = [...edgeHeaders(context), 'allow', (allow ?? generalMethods).join(', '), 'content-length', '0'];
  response.writeHead(200, finishHeaders(context, headers));
  response.end();
}

/**
 * An OPTIONS request that may go no further ends here, with the methods of its path. Only OPTIONS: TRACE is taken by no
 * route, and other methods do not know `Max-Forwards`.
 */
export function answerLastHop(
  routes: RouteTable,
  target: RequestTarget,
  response: ServerResponse,
  context: GatewayRequest,
): boolean {
  if (context.method !== 'OPTIONS' || context.headers['max-forwards'] !== '0') return false;
  const { headers, client } = context;
  const facts = { headers, query: target.query, address: client.address, viewer: null };
  const allow = generalMethods.filter((method) => {
    return routes.find(method, target.path, client.host, facts).kind === 'found';
  });
  if (allow.length === 0) return false;
  answerOptions(allow, response, context);
  return true;
}

/** One hop less for whoever is behind; in place. */
export function countDown(headers: string[], context: GatewayRequest): void {
  if (context.method !== 'OPTIONS' || context.headers['max-forwards'] === undefined) return;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() !== 'max-forwards') continue;
    const value = headers[i + 1] ?? '';
    if (/^[1-9]\d{0,8}$/.test(value)) headers[i + 1] = String(Number(value) - 1);
  }
}
