/**
 * The public server: from a request's head to a door, and from whatever a door throws to an answer. One function per
 * request; everything that can be worked out beforehand has been.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import { GatewayError, toGatewayError, toProblem } from '../policies/errors.ts';
import { assertNotOwn } from './ambiguous-path.ts';
import { ClientConnections } from './client-connection.ts';
import type { ClientLimits } from './client-limits.ts';
import { type ClientPaceOptions, cutIdleReaders, lingerAtEnd, watchUpload } from './client-pace.ts';
import { limitConnections } from './connection-limit.ts';
import { createGatewayRequest, type GatewayRequest, type GatewayRequestOptions } from './context.ts';
import type { DataPlaneState } from './data-plane.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { buildRefusal } from './graphql-errors.ts';
import { answerGrpcFailure, readGrpcForm } from './grpc-dialect.ts';
import { keepHalfClosed } from './half-closed.ts';
import { livePaths, readyPaths } from './health-paths.ts';
import { addHttp2, type Http2FrontOptions } from './http2-front.ts';
import { assertOwnConnection, type IsMisdirected } from './http2-messages.ts';
import { continueWhenRead } from './interim-answers.ts';
import type { AssertKnownHost } from './known-hosts.ts';
import { answerOptions, isServerWide } from './local-answers.ts';
import { createMalformedListener, renderRefusal } from './malformed-request.ts';
import type { ClientMetrics } from './metrics-clients.ts';
import { addPlainLane } from './plain-lane.ts';
import { isUnread } from './request-body.ts';
import { assertFraming } from './request-framing.ts';
import { parseRequestTarget, type RequestTarget } from './request-target.ts';
import { type AskedUpgrade, acceptUpgrade, assertPlain, isUpgrade, noWebSocket } from './upgrade-request.ts';

export interface PublicServerOptions extends GatewayRequestOptions {
  readonly limits: ClientLimits & { readonly maxHeaderBytes: number; readonly headersTimeoutMs: number };
  /** Null: every host is answered for. */
  readonly assertKnownHost: AssertKnownHost | null;
  readonly clientMetrics: ClientMetrics;
  readonly current: () => DataPlaneState;
  readonly isReady: () => boolean;
  readonly observer: RequestObserver;
  /** Without it the server speaks plain HTTP. */
  readonly tls?: TlsOptions | undefined;
  /** Without it the server speaks HTTP/1.1 alone. */
  readonly http2?: Pick<Http2FrontOptions, 'maxConcurrentStreams'> | undefined;
  readonly isMisdirected?: IsMisdirected | undefined;
}

/** Who wants to know of requests: metrics and logs. */
export interface RequestObserver {
  onBegin(context: GatewayRequest): void;
  /** The answer is written, or its connection is gone. */
  onEnd(context: GatewayRequest, response: ServerResponse): void;
  onFailure(error: GatewayError, context: GatewayRequest): void;
  /** A client and the server did not agree on TLS, or on the client's certificate. */
  onHandshakeFailure(error: Error): void;
}

/**
 * What a connection may hold in each direction before the other side is paused. With Node's 16 KB every answer of some
 * size is paused and resumed several times, which costs more than the bytes: at 100 KB, 2.5 times the throughput.
 */
const bufferBytes = 262_144;

/** Creates the server without listening. */
export function createPublicServer(options: PublicServerOptions): Server {
  const { tls, limits, clientMetrics } = options;
  const connections = new ClientConnections();
  const pace: ClientPaceOptions = {
    clientIdleMs: limits.clientIdleMs,
    connections,
    onSlow: clientMetrics.observeSlow,
  };
  const entrance = new Entrance(options, connections, pace);
  // A body may take as long as it flows: `requestTimeout` would cut long uploads. Slow heads are cut by their own limit.
  const settings = {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(30_000, Math.max(100, limits.headersTimeoutMs / 4)),
    keepAliveTimeout: limits.keepAliveMs,
    requireHostHeader: false,
    insecureHTTPParser: false,
    highWaterMark: bufferBytes,
    shouldUpgradeCallback: isUpgrade,
  };
  const answer = (request: IncomingMessage, response: ServerResponse): void => entrance.take(request, response);
  // Both are one kind of server over two kinds of sockets; only the types of Node keep them apart.
  const server =
    tls === undefined ? createServer(settings, answer) : (createTlsServer({ ...settings, ...tls }, answer) as Server);
  addPlainLane(server, { limits });
  const { http2 } = options;
  if (http2 !== undefined) {
    const onMalformed = (): void => clientMetrics.observeMalformed('BAD_REQUEST');
    addHttp2(server, { ...http2, limits, onMalformed, onSlow: clientMetrics.observeSlow });
  }
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const { asked, response } = acceptUpgrade(request, socket, head);
    entrance.take(request, response, { asked });
  });
  server.on('tlsClientError', (error) => options.observer.onHandshakeFailure(error));
  // One more than may be, so that it shows: Node drops the rest without a word.
  server.maxHeadersCount = limits.maxHeaderCount + 1;
  if (limits.maxRequestsPerConnection > 0) server.maxRequestsPerSocket = limits.maxRequestsPerConnection;
  limitConnections(server, limits.maxConnections, clientMetrics);
  cutIdleReaders(server, pace);
  keepHalfClosed(server, connections);
  server.on('clientError', createMalformedListener(connections, clientMetrics.observeMalformed));
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    continueWhenRead(request, response);
    entrance.take(request, response);
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    entrance.take(request, response, { refusal: new GatewayError('EXPECTATION_FAILED') });
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    const refusal = new GatewayError('METHOD_NOT_ALLOWED', 'There are no tunnels here', { allow: [] });
    clientMetrics.observeMalformed(refusal.code);
    socket.on('error', () => {}).end(renderRefusal(refusal));
  });
  return server;
}

/** What is known of a request before it comes in. */
interface Knowledge {
  /** Why it is not let in. */
  readonly refusal?: GatewayError;
  readonly asked?: AskedUpgrade;
}

const nothing: Knowledge = {};

/** What every request passes. */
class Entrance {
  readonly #options: PublicServerOptions;
  readonly #connections: ClientConnections;
  readonly #pace: ClientPaceOptions;

  constructor(options: PublicServerOptions, connections: ClientConnections, pace: ClientPaceOptions) {
    this.#options = options;
    this.#connections = connections;
    this.#pace = pace;
  }

  take(request: IncomingMessage, response: ServerResponse, { refusal, asked }: Knowledge = nothing): void {
    const connection = this.#connections.of(request);
    // It came in one piece with a request that ended its connection: never answered, so never acted upon.
    if (connection.isDoomed) return;
    const options = this.#options;
    const url = request.url ?? '/';
    const target = parseTarget(request);
    const path = target instanceof GatewayError ? (url.split('?', 1)[0] ?? url) : target.path;
    const context = createGatewayRequest(options, request, response, path);
    context.upgrade = asked;
    const fail = (error: GatewayError): void => {
      context.errorCode ??= error.code;
      options.observer.onFailure(error, context);
      if (response.headersSent) {
        if (response.writableEnded || response.destroyed || context.isCut) return;
        if (context.endAnswer?.(error) === true) return;
        // The head promised a whole body. Cutting the connection is the only honest end (RFC 9112 section 8).
        context.isCut = true;
        connection.breakOff(response);
        return;
      }
      try {
        answerFailure(error, request, response, context);
      } catch (again) {
        // A plugin failed the head of this very answer. What tells of that is written without plugins.
        options.observer.onFailure(toGatewayError(again), context);
        answerFailure(toGatewayError(again), request, response, context);
      }
    };
    // A connection that leaves HTTP carries no further exchange, and its end has another meaning.
    const exchange = asked === undefined ? { request, response, fail } : null;
    if (exchange !== null) connection.begin(exchange);
    options.observer.onBegin(context);
    response.once('close', () => {
      context.end();
      if (exchange !== null) connection.end(exchange);
      options.observer.onEnd(context, response);
    });
    try {
      assertFraming(request, options.limits);
      assertOneAuthorization(request);
      if (asked === undefined) assertPlain(request);
      if (target instanceof GatewayError) throw target;
      if (refusal !== undefined) throw refusal;
    } catch (thrown) {
      connection.isDoomed = true;
      // In HTTP/2 the stream alone is in doubt.
      if (request.httpVersionMajor < 2) response.shouldKeepAlive = false;
      context.shapeAnswer = options.current().gatewayAnswer;
      fail(toGatewayError(thrown));
      return;
    }
    // A stream of gRPC may be silent for as long as both sides like; its deadline holds.
    if (isUnread(request) && readGrpcForm(request) !== 'grpc') {
      context.uploadWatch = watchUpload(request, this.#pace, fail);
    }
    void this.#serve(target, request, response, context).catch((thrown: unknown) => fail(toGatewayError(thrown)));
  }

  async #serve(
    target: RequestTarget,
    request: IncomingMessage,
    response: ServerResponse,
    context: GatewayRequest,
  ): Promise<void> {
    // Taken once: a change of the graph or the routes meanwhile does not touch this request (invariant 2).
    const current = this.#options.current();
    context.shapeAnswer = context.door === 'graphql' ? current.graphqlAnswer : current.gatewayAnswer;
    // Before all else: whether the process lives is no question for plugins, nor of the host.
    if (livePaths.has(target.path)) return answerHealth(true, response, context);
    if (readyPaths.has(target.path)) return answerHealth(this.#options.isReady(), response, context);
    this.#options.assertKnownHost?.(context.client.host);
    assertOwnConnection(request, this.#options.isMisdirected);
    if (current.plugins !== undefined) {
      context.plugins = current.plugins.begin(context, request, response, target.query);
      if (await context.plugins?.enter()) return;
    }
    if (context.door === 'graphql' && context.upgrade?.protocols.includes('websocket') === true) throw noWebSocket();
    if (context.door === 'graphql') return current.graphqlDoor(current.generation, target, request, response, context);
    if (isServerWide(request)) return answerOptions(null, response, context);
    const { own } = current;
    if (own !== null && (await current.ownDoor({ ...current, own }, target, request, response, context))) return;
    assertNotOwn(target.path, context.method, this.#options.graphqlPath, own);
    await current.restDoor(current.routes, target, request, response, context);
  }
}

function parseTarget(request: IncomingMessage): RequestTarget | GatewayError {
  if (isServerWide(request)) return { path: '*', query: '' };
  try {
    return parseRequestTarget(request.url ?? '/', request.headers.host);
  } catch (thrown) {
    return toGatewayError(thrown);
  }
}

/**
 * RFC 9110 section 5.3: a field that is no list comes once. Node reads the first and drops the others; a proxy before us may
 * have judged another one.
 */
function assertOneAuthorization({ headers, rawHeaders }: IncomingMessage): void {
  if (headers.authorization === undefined) return;
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length === 13 && name.toLowerCase() === 'authorization') count++;
  }
  if (count > 1) throw new GatewayError('BAD_REQUEST', 'The request has more than one Authorization');
}

function answerHealth(good: boolean, response: ServerResponse, context: GatewayRequest): void {
  context.name = 'health';
  response.writeHead(good ? 200 : 503, [
    ...edgeHeaders(context),
    'content-type',
    'application/json',
    'cache-control',
    'no-store',
  ]);
  response.end(good ? '{"status":"ok"}' : '{"status":"not ready"}');
}

function answerFailure(
  error: GatewayError,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
): void {
  if (context.departure.happened) return;
  const form = readGrpcForm(request);
  if (form !== null) {
    answerGrpcFailure(form, error, request, response, context);
    return;
  }
  const answer = context.door === 'graphql' ? buildRefusal(error, context) : problemAnswer(error, context);
  const headers = [...edgeHeaders(context), ...answer.headers];
  // What is left of the request is not read: the connection cannot carry another one.
  if (isUnread(request)) {
    headers.push('connection', 'close');
    lingerAtEnd(request);
  }
  response.writeHead(answer.status, finishHeaders(context, headers));
  response.end(context.method === 'HEAD' ? undefined : answer.body);
}

function problemAnswer(error: GatewayError, context: GatewayRequest) {
  const { status, headers, body } = toProblem(error, context.id);
  return { status, headers: Object.entries(headers).flat(), body };
}
