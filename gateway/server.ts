/**
 * The public server: from a request's head to a door, and from whatever a door throws to an answer. One function per
 * request; everything that can be worked out beforehand has been.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket, type TlsOptions } from 'node:tls';
import { GatewayError, toGatewayError, toProblem } from '../policies/errors.ts';
import { createGatewayRequest, type GatewayRequest, type GatewayRequestOptions } from './context.ts';
import type { DataPlaneState } from './data-plane.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { buildRefusal } from './graphql-errors.ts';
import { isUnread } from './request-body.ts';
import { parseRequestTarget, type RequestTarget } from './request-target.ts';

export interface PublicServerOptions extends GatewayRequestOptions {
  readonly maxHeaderBytes: number;
  readonly headersTimeoutMs: number;
  readonly current: () => DataPlaneState;
  readonly isReady: () => boolean;
  readonly observer: RequestObserver;
  /** Without it the server speaks plain HTTP. */
  readonly tls?: TlsOptions | undefined;
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

const livePaths = new Set(['/health/live', '/health', '/healthcheck']);
const readyPaths = new Set(['/health/ready', '/readiness']);

/** Creates the server without listening. */
export function createPublicServer(options: PublicServerOptions): Server {
  const { tls, maxHeaderBytes, headersTimeoutMs } = options;
  // A body may take as long as it flows: `requestTimeout` would cut long uploads. Slow heads are cut by their own limit.
  const settings = {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    requestTimeout: 0,
    keepAliveTimeout: 65_000,
    requireHostHeader: false,
    highWaterMark: bufferBytes,
  };
  const answer = (request: IncomingMessage, response: ServerResponse): void => void serve(options, request, response);
  // Both are one kind of server over two kinds of sockets; only the types of Node keep them apart.
  const server =
    tls === undefined ? createServer(settings, answer) : (createTlsServer({ ...settings, ...tls }, answer) as Server);
  server.on('clientError', refuseMalformed);
  server.on('tlsClientError', (error) => options.observer.onHandshakeFailure(error));
  return server;
}

async function serve(options: PublicServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = request.url ?? '/';
  const cut = url.indexOf('?');
  const context = createGatewayRequest(options, request, response, cut < 0 ? url : url.slice(0, cut));
  options.observer.onBegin(context);
  response.once('close', () => options.observer.onEnd(context, response));
  try {
    assertHost(request);
    assertOneAuthorization(request);
    await enter(options, parseRequestTarget(url), request, response, context);
  } catch (thrown) {
    const error = toGatewayError(thrown);
    context.errorCode ??= error.code;
    options.observer.onFailure(error, context);
    try {
      answerFailure(error, request, response, context);
    } catch (again) {
      // A plugin failed the head of this very answer. What tells of that is written without plugins.
      options.observer.onFailure(toGatewayError(again), context);
      answerFailure(toGatewayError(again), request, response, context);
    }
  }
}

/** RFC 9112 section 3.2: a request of HTTP/1.1 names the host, once. */
function assertHost(request: IncomingMessage): void {
  if (request.headers.host === undefined && request.httpVersion !== '1.0') {
    throw new GatewayError('BAD_REQUEST', 'The request has no Host');
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

function enter(
  options: PublicServerOptions,
  target: RequestTarget,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
): Promise<void> | void {
  // Taken once: a change of the graph or the routes meanwhile does not touch this request (invariant 2).
  const current = options.current();
  context.shapeAnswer = context.door === 'graphql' ? current.graphqlAnswer : current.gatewayAnswer;
  if (context.door === 'rest') {
    // Before plugins: whether the process lives is no question for them.
    if (livePaths.has(target.path)) return answerHealth(true, response, context);
    if (readyPaths.has(target.path)) return answerHealth(options.isReady(), response, context);
  }
  if (current.plugins !== undefined) {
    context.plugins = current.plugins.begin(context, request, response, target.query);
    if (context.plugins !== undefined) {
      return context.plugins.enter().then((isAnswered) => {
        if (!isAnswered) return openDoor(current, target, request, response, context);
      });
    }
  }
  return openDoor(current, target, request, response, context);
}

function openDoor(
  { graphqlDoor, generation, restDoor, routes }: DataPlaneState,
  target: RequestTarget,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
): Promise<void> {
  return context.door === 'graphql'
    ? graphqlDoor(generation, target, request, response, context)
    : restDoor(routes, target, request, response, context);
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
  if (response.headersSent) {
    // The head promised a whole body. Cutting the connection is the only honest end (RFC 9112 section 8).
    response.destroy();
    return;
  }
  if (context.departure.happened) return;
  const answer = context.door === 'graphql' ? buildRefusal(error, context) : problemAnswer(error, context);
  const headers = [...edgeHeaders(context), ...answer.headers];
  // What is left of the request is not read: the connection cannot carry another one.
  if (isUnread(request)) headers.push('connection', 'close');
  response.writeHead(answer.status, finishHeaders(context, headers));
  response.end(context.method === 'HEAD' ? undefined : answer.body);
}

function problemAnswer(error: GatewayError, context: GatewayRequest) {
  const { status, headers, body } = toProblem(error, context.id);
  return { status, headers: Object.entries(headers).flat(), body };
}

/** Requests that Node's parser refuses never become a request object; they get an answer all the same. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  // Before there is TLS, words in the open would be no answer.
  if (!socket.writable || (socket instanceof TLSSocket && socket.getProtocol() === null)) {
    socket.destroy();
    return;
  }
  const status = malformedStatus[error.code ?? ''] ?? '400 Bad Request';
  const code = status.startsWith('431') ? 'HEADERS_TOO_LARGE' : 'BAD_REQUEST';
  const body = JSON.stringify({
    type: 'about:blank',
    title: status.slice(4),
    status: Number(status.slice(0, 3)),
    code,
  });
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}

const malformedStatus: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};
