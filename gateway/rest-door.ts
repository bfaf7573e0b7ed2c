/**
 * The REST door: match route -> shed load -> authenticate -> rate limit -> authorize -> cache -> call -> stream back. Bodies
 * pass through in both directions without being held.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isPreflight } from '../policies/cors.ts';
import { errorHeaders, GatewayError } from '../policies/errors.ts';
import { isOutage, type OutageGuard } from '../policies/outage-guard.ts';
import type { Call, CallRequest } from '../subgraphs/call.ts';
import type { HttpCache } from '../subgraphs/http-cache.ts';
import { withoutVariant } from '../subgraphs/route-split.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { readGrpcForm } from './grpc-dialect.ts';
import { openGrpcCall } from './grpc-door.ts';
import { isServiceFailure, noteGrpcFailure } from './grpc-facts.ts';
import { answerLastHop } from './local-answers.ts';
import type { Mirrors } from './mirrors.ts';
import type { OpenapiSources } from './openapi-sources.ts';
import { isReplayable, readReplayable } from './replayable-body.ts';
import { isUnread, limitBody } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';
import { forwardTrailers } from './request-trailers.ts';
import type { InvalidListener } from './request-validity.ts';
import { answerPreflight } from './rest-edge.ts';
import { leadRetired } from './retired-route.ts';
import { writeRouteAnswer } from './route-answers.ts';
import { buildOutgoing, matchRoute, type OutgoingRequest } from './route-choice.ts';
import { authorize, type GateKeepers, identify, limit } from './route-gate.ts';
import type { RouteGuards } from './route-guards.ts';
import type { PreparedRequest } from './route-messages.ts';
import type { RouteTable, RouteTarget } from './route-table.ts';
import type { RouteUsage } from './route-usage.ts';
import { StreamedAnswer } from './streamed-answer.ts';
import { assertHandshake, chooseProtocol } from './upgrade-request.ts';
import type { Upgrades } from './upgrades.ts';

export interface RestDoorOptions extends GateKeepers {
  readonly call: Call;
  readonly guards: RouteGuards;
  /** Who calls routes that are retired. */
  readonly usage: RouteUsage;
  readonly mirrors: Mirrors;
  /** Something answered in place of a route that failed. */
  readonly onFallback: FallbackListener;
  /** Before the call of routes that let answers be kept. */
  readonly cache: HttpCache;
  readonly onInvalid: InvalidListener;
  /** Documents that requests are validated by. */
  readonly openapi: OpenapiSources;
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

/** Creates the door. It throws GatewayErrors; the server answers them. */
export function createRestDoor(options: RestDoorOptions): RestDoor {
  const { authenticator, rights, call, cache, shedder, guards, upgrades, mirrors } = options;
  const { onFallback, onInvalid, usage, openapi } = options;
  const exchange = async (
    route: RouteTarget,
    forwarded: CallRequest,
    response: ServerResponse,
    context: GatewayRequest,
    // Without what watches for a mirror: what stands in is nothing to compare a copy with.
    own: CallRequest = forwarded,
  ): Promise<void> => {
    const { cache: rule } = route;
    const send: Call = rule === null ? call : (outgoing, asked) => cache.serve(rule, outgoing, asked);
    context.calledAtMs = performance.now();
    try {
      const ask = withPlugins(send, context);
      const guard = guards.find(route);
      if (guard === undefined) await ask(forwarded, context);
      else await callGuarded(() => ask(forwarded, context), guard, response, context);
    } catch (thrown) {
      await standIn({ call: withPlugins(call, context), onFallback }, route, thrown, own, response, context);
    }
  };
  return async (routes, target, request, response, context) => {
    if (isPreflight(context.method, request.headers) && answerPreflight(routes, target, response, context)) return;
    if (answerLastHop(routes, target, response, context)) return;
    const shed = (possible: readonly RouteTarget[]) =>
      shedder.checkAny(
        'rest',
        possible.map(({ route: { priority } }) => priority),
      );
    const authenticate = () => authenticator.authenticate(request.headers, context);
    const asked = { routes, target, shed, authenticate };
    // Waited for only where there is something to wait for, here and below: each wait costs as much as finding the route.
    const choice = matchRoute(asked, context);
    const { route, isAuthenticated } = choice instanceof Promise ? await choice : choice;
    context.name = route.label;
    context.service = route.service;
    context.shapeAnswer = route.edge.answer;
    shedder.check('rest', route.route.priority);
    const protocol = chooseProtocol(route.edge.upgrade, context.upgrade);
    const origin = { method: context.method, host: context.client.host, headers: request.headers };
    route.edge.csrf?.(origin);
    if (protocol === 'websocket') assertHandshake(origin, route.edge);
    const identified = identify(options, route.route.priority, isAuthenticated, context);
    if (identified !== undefined) await identified;
    const limited = limit(options, route, context);
    if (limited !== undefined) await limited;
    const destination = route.retired === null ? route : leadRetired(route.retired, route, usage, context);
    authorize(options, route, context);
    if (context.plugins !== undefined && (await context.plugins.atRoute(route.service, route.label))) return;
    if (route.answer !== null) return writeRouteAnswer(route.answer(target), response, context);
    if (route.idleTimeoutMs !== undefined) context.uploadWatch?.setIdleMs(route.idleTimeoutMs);
    // What a route does to messages it does to those of HTTP, as they stand.
    const mayBeGrpc = protocol === null && (destination.grpc !== null || route.grpc !== null);
    const grpcCall = mayBeGrpc ? await openGrpcCall(route, destination, target, request, response, context) : null;
    if (grpcCall !== null) return exchange(route, grpcCall, response, context);
    const { messages } = route;
    const prepared =
      messages === null
        ? undefined
        : await messages.prepare({ request, target, context, rights, onInvalid, openapi, ...route });
    const outgoing = buildOutgoing(route, destination, prepared?.query ?? target.query, target, request, context);
    if (protocol !== null && route.edge.upgrade !== null) {
      const headers = (await context.plugins?.changeRouteCall(outgoing)) ?? outgoing.headers;
      const leave = { ...outgoing, headers, route, rule: route.edge.upgrade, protocol };
      const send = () => upgrades.forward(leave, request, response, context);
      const guard = guards.find(route);
      return guard === undefined ? send() : callGuarded(send, guard, response, context);
    }
    let held = prepared?.body;
    if (held === undefined && isReplayable(route, request)) held = await readReplayable(request, route, context);
    const own = buildCall(route, target, outgoing, prepared, held, request, response, context);
    const forwarded = route.mirror === null ? own : mirrors.copy(route, own, request, context);
    await exchange(route, forwarded, response, context, own);
  };
}

/** The request as it goes on. `held`: its body, if that is here as a whole; otherwise it is on its way. */
function buildCall(
  route: RouteTarget,
  target: RequestTarget,
  outgoing: OutgoingRequest,
  prepared: PreparedRequest | undefined,
  held: CallRequest['body'] | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
): CallRequest {
  const body = held === undefined ? limitBody(request, route.maxBodyBytes, context.meter) : held;
  // Small bodies come with their heads or do not: whether a request is sent again must not hang on that.
  const isRepeatable = body === null || (held !== undefined && Buffer.isBuffer(body));
  return {
    ...outgoing,
    headers: prepared === undefined ? outgoing.headers : prepared.changeHeaders([...outgoing.headers]),
    body,
    ...forwardTrailers(route, target.path, request, outgoing.headers, context),
    idempotent: isReplayable(route, request) || (isRepeatable && idempotentMethods.has(context.method)),
    ...(route.timeoutMs !== undefined && { timeoutMs: route.timeoutMs }),
    ...(route.idleTimeoutMs !== undefined && { idleTimeoutMs: route.idleTimeoutMs }),
    ...(route.edge.carriesCredentials && { credentialed: true }),
    ...(prepared?.reshape !== undefined && { reshape: prepared.reshape }),
    receiver: new StreamedAnswer(route, request, response, context),
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
  guard: OutageGuard,
  response: ServerResponse,
  context: GatewayRequest,
): Promise<void> {
  const end = guard.begin();
  try {
    await send();
    end(isServiceFailure(context.grpc, response.statusCode) ? 'failed' : 'succeeded');
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
  const isLost = context.departure.happened || readGrpcForm(response.req) !== null;
  if (fallback === undefined || !failed || isLost) throw thrown;
  if (fallbackService !== null && forwarded.idempotent) {
    try {
      onFallback(`${service} ${label}`, thrown.code, 'service');
      const { accepts: _, zone: __, variant: ___, ...plain } = forwarded;
      return await call({ ...plain, service: fallbackService, headers: withoutVariant(plain.headers) }, context);
    } catch (second) {
      if (fallback.body === undefined || response.headersSent || context.departure.happened) throw second;
    }
  }
  if (fallback.body === undefined) throw thrown;
  context.errorCode ??= thrown.code;
  noteGrpcFailure(context, thrown);
  onFallback(`${service} ${label}`, thrown.code, 'value');
  const body = JSON.stringify(fallback.body);
  const headers = ['content-type', 'application/json', 'content-length', String(Buffer.byteLength(body))];
  // RFC 9209: whoever wonders where the answer comes from can see why the service did not give it.
  headers.push('proxy-status', errorHeaders(thrown)['proxy-status'] ?? 'selvage', ...edgeHeaders(context));
  if (isUnread(response.req)) headers.push('connection', 'close');
  response.writeHead(fallback.status ?? 200, finishHeaders(context, headers));
  response.end(context.method === 'HEAD' ? undefined : body);
}
