/** Answers of routes that ask no service. */
import type { ServerResponse } from 'node:http';
import type { RouteRedirect, RouteRespond } from '../subgraphs/route-answer.ts';
import { buildRewrite } from '../subgraphs/route-rewrite.ts';
import type { Route } from '../subgraphs/service-definition.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { isUnread } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';

export interface FixedAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

export type AnswerRoute = (target: RequestTarget) => FixedAnswer;

/** What the gateway answers by itself; null for a route that asks its service. */
export function buildRouteAnswer({ match, redirect, respond }: Route): AnswerRoute | null {
  if (redirect !== undefined) return buildRedirect(match, redirect);
  if (respond === undefined) return null;
  const answer = buildFixed(respond);
  return () => answer;
}

const nothing = Buffer.alloc(0);

function buildRedirect(match: Route['match'], { to, status = 308, keepQuery = true }: RouteRedirect): AnswerRoute {
  const origin = /^https?:\/\/[^/]*/.exec(to)?.[0] ?? '';
  const rewrite = buildRewrite(match, to.slice(origin.length));
  return ({ path, query }) => {
    // Captured parts cannot name a host: `//host` would, and some clients take `\` for a slash (WHATWG URL, special schemes).
    const local = rewrite(path).replace(/^[/\\]+/, '/');
    const own = local.includes('?') ? `&${query.slice(1)}` : query;
    const location = `${origin}${local}${keepQuery && query.length > 1 ? own : ''}`;
    return { status, headers: ['location', location], body: nothing };
  };
}

function buildFixed({ status = 200, headers = {}, body }: RouteRespond): FixedAnswer {
  const fields = Object.entries(headers).flat();
  const isTyped = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type');
  if (body === undefined) return { status, headers: fields, body: nothing };
  const isText = typeof body === 'string';
  if (!isTyped) fields.push('content-type', isText ? 'text/plain; charset=utf-8' : 'application/json');
  return { status, headers: fields, body: Buffer.from(isText ? body : JSON.stringify(body)) };
}

export function writeRouteAnswer(answer: FixedAnswer, response: ServerResponse, context: GatewayRequest): void {
  const { status, body } = answer;
  const headers = [...answer.headers];
  // RFC 9110 section 8.6: no length where there can be no content.
  if (status !== 204 && status !== 304) headers.push('content-length', String(body.length));
  headers.push(...edgeHeaders(context));
  if (isUnread(response.req)) headers.push('connection', 'close');
  response.writeHead(status, finishHeaders(context, headers));
  context.bodyBytes += context.method === 'HEAD' ? 0 : body.length;
  response.end(context.method === 'HEAD' ? undefined : body);
}
