/**
 * The REST door: match route -> shed load -> authenticate -> rate limit -> authorize -> cache -> call -> stream back. Bodies
 * pass through in both directions without being held.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../policies/authenticate.ts';
import { checkRequirement } from '../policies/authorize.ts';
import { isPreflight } from '../policies/cors.ts';
import { errorHeaders, GatewayError } from '../policies/errors.ts';
import type { LoadShedder } from '../policies/load-shedding.ts';
import { isOutage, type OutageGuard } from '../policies/outage-guard.ts';
import type { RateLimiter } from '../policies/rate-limit.ts';
import { meterBytes } from '../policies/rate-limit-bytes.ts';
import type { Rights } from '../policies/rights.ts';
import type { DescribeViewer } from '../policies/viewer-token.ts';
import type { Call, CallRequest } from '../subgraphs/call.ts';
import type { HttpCache } from '../subgraphs/http-cache.ts';
import { assertUnambiguous } from './ambiguous-path.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { answerLastHop } from './local-answers.ts';
import { isUnread, limitBody, readBody } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';
import { answerPreflight, buildForwardedHeaders } from './rest-edge.ts';
import type { RouteGuards } from './route-guards.ts';
import type { RouteTable, RouteTarget } from './route-table.ts';
import { StreamedAnswer } from './streamed-answer.ts';
import { assertHandshake, chooseProtocol } from './upgrade-request.ts';
import type { Upgrades } from './upgrades.ts';

export interface RestDoorOptions {
  readonly authenticator: Authenticator;
  /** What services are told of a viewer. */
  readonly describeViewer: DescribeViewer;
  /** What roles give, and what policies stand for. */
  readonly rights: Rights;
  readonly limiter: RateLimiter;
  readonly call: Call;
  readonly shedder: LoadShedder;
  readonly guards: RouteGuards;
  /** Something answered in place of a route that failed. */
  readonly onFallback: FallbackListener;
  /** Before the call of routes that let answers be kept. */
  readonly cache: HttpCache;
  /** For requests that leave HTTP. */
  readonly upgrades: Upgrades;
}

export type FallbackListener = (route: string, code: string, substitute: 'value' | 'service') => void;

export type RestDoor = (
  routes: RouteTable,
  target: RequestTarget,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
) => Promise<void>;

/** Methods that may be sent again when an attempt failed (RFC 9110 section 9.2.2). */
const idempotentMethods = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);

const maxReplayableBytes = 65_536;

/** Creates the door. It throws GatewayErrors; the server answers them. */
export function createRestDoor(options: RestDoorOptions): RestDoor {
  const { authenticator, describeViewer, rights, limiter, call, cache, shedder, guards, onFallback, upgrades } =
    options;
  return async (routes, target, request, response, context) => {
    if (isPreflight(context.method, request.headers) && answerPreflight(routes, target.path, response, context)) return;
    if (answerLastHop(routes, target.path, response, context)) return;
    const route = matchRoute(routes, target.path, context);
    context.name = route.label;
    context.service = route.service;
    context.shapeAnswer = route.edge.answer;
    shedder.check('rest', route.route.priority);
    const protocol = chooseProtocol(route.edge.upgrade, context.upgrade);
    const origin = { method: context.method, host: context.client.host, headers: request.headers };
    route.edge.csrf?.(origin);
    if (protocol === 'websocket') assertHandshake(origin, route.edge);
    context.viewer = await authenticator.authenticate(request.headers, context);
    shedder.checkViewer('rest', context, route.route.priority);
    if (context.viewer !== null) context.viewerFields = describeViewer(context.viewer);
    await limit(limiter, route, context);
    authorize(route, rights, context);
    if (context.plugins !== undefined && (await context.plugins.atRoute(route.service, route.label))) return;
    if (protocol !== null && route.edge.upgrade !== null) {
      const outgoing = {
        service: route.service,
        method: context.method,
        path: route.rewrite(target.path) + target.query,
        headers: buildForwardedHeaders(route, target.path, request, context),
      };
      const headers = (await context.plugins?.changeRouteCall(outgoing)) ?? outgoing.headers;
      const leave = { ...outgoing, headers, route, rule: route.edge.upgrade, protocol };
      const send = () => upgrades.forward(leave, request, response, context);
      return callGuarded(send, guards.find(route), response, context);
    }
    const replayable = isReplayable(route, request);
    const body = replayable
      ? await readReplayable(request, route, context)
      : limitBody(request, route.maxBodyBytes, context.meter);
    if (replayable) context.meter?.passRequest((body as Buffer | null)?.length ?? 0);
    const headers = buildForwardedHeaders(route, target.path, request, context);
    const forwarded: CallRequest = {
      service: route.service,
      method: context.method,
      path: route.rewrite(target.path) + target.query,
      headers,
      body,
      idempotent: replayable || (body === null && idempotentMethods.has(context.method)),
      ...(route.timeoutMs !== undefined && { timeoutMs: route.timeoutMs }),
      ...(route.edge.carriesCredentials && { credentialed: true }),
      receiver: new StreamedAnswer(route, request, response, context),
    };
    const { cache: rule } = route;
    const send: Call = rule === null ? call : (outgoing, asked) => cache.serve(rule, outgoing, asked);
    context.calledAtMs = performance.now();
    try {
      const ask = withPlugins(send, context);
      await callGuarded(() => ask(forwarded, context), guards.find(route), response, context);
    } catch (thrown) {
      await standIn({ call: withPlugins(call, context), onFallback }, route, thrown, forwarded, response, context);
    }
  };
}

/** Around the cache as well: what plugins add to a request is part of what an answer is kept for. */
function withPlugins(call: Call, { plugins }: GatewayRequest): Call {
  if (plugins === undefined) return call;
  return async (outgoing, context) => call({ ...outgoing, headers: await plugins.changeRouteCall(outgoing) }, context);
}

/** The call, and what became of it for the breaker of its route. */
async function callGuarded(
  send: () => Promise<void>,
  guard: OutageGuard | undefined,
  response: ServerResponse,
  context: GatewayRequest,
): Promise<void> {
  if (guard === undefined) return send();
  const end = guard.begin();
  try {
    await send();
    end(response.statusCode >= 500 ? 'failed' : 'succeeded');
  } catch (thrown) {
    const late = context.isHurried && thrown instanceof GatewayError && thrown.code === 'GATEWAY_TIMEOUT';
    end(!late && thrown instanceof GatewayError && guard.isFailure(thrown.code, true) ? 'failed' : 'unknown');
    throw thrown;
  }
}

/** Answers in place of a route that failed, or throws what it failed with. */
async function standIn(
  { call, onFallback }: Pick<RestDoorOptions, 'call' | 'onFallback'>,
  { route: { fallback }, fallbackService, service, label }: RouteTarget,
  thrown: unknown,
  forwarded: CallRequest,
  response: ServerResponse,
  context: GatewayRequest,
): Promise<void> {
  const failed = thrown instanceof GatewayError && isOutage(thrown.code) && !response.headersSent;
  if (fallback === undefined || !failed || context.departure.happened) throw thrown;
  if (fallbackService !== null && forwarded.idempotent) {
    try {
      onFallback(`${service} ${label}`, thrown.code, 'service');
      return await call({ ...forwarded, service: fallbackService }, context);
    } catch (second) {
      if (fallback.body === undefined || response.headersSent || context.departure.happened) throw second;
    }
  }
  if (fallback.body === undefined) throw thrown;
  context.errorCode ??= thrown.code;
  onFallback(`${service} ${label}`, thrown.code, 'value');
  const body = JSON.stringify(fallback.body);
  const headers = ['content-type', 'application/json', 'content-length', String(Buffer.byteLength(body))];
  // RFC 9209: whoever wonders where the answer comes from can see why the service did not give it.
  headers.push('proxy-status', errorHeaders(thrown)['proxy-status'] ?? 'selvage', ...edgeHeaders(context));
  if (isUnread(response.req)) headers.push('connection', 'close');
  response.writeHead(fallback.status ?? 200, finishHeaders(context, headers));
  response.end(context.method === 'HEAD' ? undefined : body);
}

/**
 * Whether the service will do the request once, however often it is sent (draft-ietf-httpapi-idempotency-key-header), and
 * its body is small enough to be held until it has an answer.
 */
function isReplayable({ route }: RouteTarget, { headers }: IncomingMessage): boolean {
  if (route.idempotencyKeys !== true || headers['transfer-encoding'] !== undefined) return false;
  const key = headers['idempotency-key'];
  return typeof key === 'string' && key !== '' && Number(headers['content-length'] ?? 0) <= maxReplayableBytes;
}

async function readReplayable(
  request: IncomingMessage,
  { maxBodyBytes }: RouteTarget,
  { deadlineAtMs }: GatewayRequest,
): Promise<Buffer | null> {
  if ((request.headers['content-length'] ?? '0') === '0') return null;
  return readBody(request, Math.min(maxReplayableBytes, maxBodyBytes), deadlineAtMs - performance.now());
}

function matchRoute(routes: RouteTable, path: string, context: GatewayRequest): RouteTarget {
  const match = routes.find(context.method, path, context.client.host);
  if (match.kind === 'found') {
    assertUnambiguous(routes, context.method, path, context.client.host, match.target);
    return match.target;
  }
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
  meterBytes(context, context.rateLimit.accounts);
  if (context.rateLimit.error !== null) throw context.rateLimit.error;
}

function authorize(route: RouteTarget, rights: Rights, context: GatewayRequest): void {
  if (route.needsViewer && context.viewer === null) throw new GatewayError('UNAUTHENTICATED');
  if (route.requirement === null) return;
  const refusal = checkRequirement(route.requirement, context.viewer, { rights, request: context });
  if (refusal !== null) throw refusal;
}
