/**
 * The REST door: match route -> authenticate -> rate limit -> authorize -> cache -> call -> stream back. Bodies pass through in
 * both directions without being held.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../policies/authenticate.ts';
import { checkRequirement } from '../policies/authorize.ts';
import { GatewayError } from '../policies/errors.ts';
import type { RateLimiter } from '../policies/rate-limit.ts';
import type { DescribeViewer } from '../policies/viewer-token.ts';
import type { Call, Flow, Receiver } from '../subgraphs/call.ts';
import { endToEndHeaders, endToEndResponseHeaders } from '../subgraphs/forwarding.ts';
import type { HttpCache } from '../subgraphs/http-cache.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders } from './edge-headers.ts';
import { isUnread, limitBody } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';
import type { RouteTable, RouteTarget } from './route-table.ts';

export interface RestDoorOptions {
  readonly authenticator: Authenticator;
  /** What services are told of a viewer. */
  readonly describeViewer: DescribeViewer;
  readonly limiter: RateLimiter;
  readonly call: Call;
  /** Before the call of routes that let answers be kept. */
  readonly cache: HttpCache;
}

export type RestDoor = (
  routes: RouteTable,
  target: RequestTarget,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
) => Promise<void>;

/** Methods that may be sent again when an attempt failed (RFC 9110 section 9.2.2). */
const idempotentMethods = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);

/** Creates the door. It throws GatewayErrors; the server answers them. */
export function createRestDoor(options: RestDoorOptions): RestDoor {
  const { authenticator, describeViewer, limiter, call, cache } = options;
  return async (routes, target, request, response, context) => {
    const route = matchRoute(routes, target.path, context);
    context.name = route.label;
    context.service = route.service;
    context.viewer = await authenticator.authenticate(request.headers, context);
    if (context.viewer !== null) context.viewerFields = describeViewer(context.viewer);
    await limit(limiter, route, context);
    authorize(route, context);
    const body = limitBody(request, route.maxBodyBytes);
    const headers = endToEndHeaders(request.rawHeaders);
    if (route.route.preserveHost) headers.push('host', context.client.host);
    const { cache: rule } = route;
    const send: Call = rule === null ? call : (outgoing, asked) => cache.serve(rule, outgoing, asked);
    await send(
      {
        service: route.service,
        method: context.method,
        path: route.rewrite(target.path) + target.query,
        headers,
        body,
        idempotent: body === null && idempotentMethods.has(context.method),
        ...(route.timeoutMs !== undefined && { timeoutMs: route.timeoutMs }),
        receiver: new StreamedAnswer(request, response, context),
      },
      context,
    );
  };
}

function matchRoute(routes: RouteTable, path: string, context: GatewayRequest): RouteTarget {
  const match = routes.find(context.method, path, context.client.host);
  if (match.kind === 'found') return match.target;
  if (match.kind === 'none') throw new GatewayError('ROUTE_NOT_FOUND', 'No route matches this path');
  throw new GatewayError('METHOD_NOT_ALLOWED', `This path does not take ${context.method}`, { allow: match.allow });
}

async function limit(limiter: RateLimiter, route: RouteTarget, context: GatewayRequest): Promise<void> {
  if (route.rules.length === 0) return;
  const { viewer, client, headers, departure } = context;
  const { label, service, cost } = route;
  const subject = { viewer, address: client.address, headers, route: label, service, cost, departure };
  context.rateLimit = await limiter.check(route.rules, subject);
  if (context.rateLimit.release !== null) context.atEnd(context.rateLimit.release);
  if (context.rateLimit.error !== null) throw context.rateLimit.error;
}

function authorize(route: RouteTarget, context: GatewayRequest): void {
  if (route.needsViewer && context.viewer === null) throw new GatewayError('UNAUTHENTICATED');
  const refusal = route.requirement === null ? null : checkRequirement(route.requirement, context.viewer);
  if (refusal !== null) throw refusal;
}

/** Writes an answer to the client as it arrives, with back-pressure. */
class StreamedAnswer implements Receiver {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #context: GatewayRequest;

  constructor(request: IncomingMessage, response: ServerResponse, context: GatewayRequest) {
    this.#request = request;
    this.#response = response;
    this.#context = context;
  }

  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void {
    const headers = endToEndResponseHeaders(rawHeaders);
    headers.push(...edgeHeaders(this.#context));
    // An answer before the end of the request: what is still to come is read by nobody, so no other request can follow.
    if (isUnread(this.#request)) headers.push('connection', 'close');
    this.#response.writeHead(status, headers);
    // Node holds the head back until the first byte of the body. Where the length is known that byte is on its way;
    // a stream of events may take its time, and its client wants to know that it began.
    if (!hasHeader(headers, 'content-length')) this.#response.flushHeaders();
    this.#response.on('drain', () => flow.resume());
  }

  onData(chunk: Buffer): boolean {
    this.#context.bodyBytes += chunk.length;
    return this.#response.write(chunk);
  }

  onEnd(): void {
    this.#response.end();
  }
}

function hasHeader(headers: readonly string[], name: string): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.length === name.length && headers[i]?.toLowerCase() === name) return true;
  }
  return false;
}
