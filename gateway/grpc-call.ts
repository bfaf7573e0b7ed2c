/** Calls of gRPC and gRPC-Web that pass to a service as they are, with policies around them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import { formatGrpcTimeout, nameGrpcStatus, parseGrpcTimeoutMs } from '../policies/grpc-status.ts';
import type { CallRequest, Flow, Receiver } from '../subgraphs/call.ts';
import { endToEndResponseHeaders } from '../subgraphs/forwarding.ts';
import { FrameGuard } from '../subgraphs/grpc-frames.ts';
import type { GrpcSchema } from '../subgraphs/grpc-schema.ts';
import { pickTrailers } from './answer-trailers.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { readGrpcBody } from './grpc-body.ts';
import { contentTypeOf, encodeBody, endWithStatus, frameTrailers, type GrpcForm } from './grpc-dialect.ts';
import { noteGrpcCall, noteGrpcStatus } from './grpc-facts.ts';
import { Http2Response } from './http2-messages.ts';
import { rewriteCookies } from './rest-edge.ts';
import type { OutgoingRequest } from './route-choice.ts';
import type { RouteTarget } from './route-table.ts';

/** A timer that never runs out; Node's take 31 bits. */
const endlessMs = 2_147_483_647;
/** What only the hop to the gateway is about, or is said anew. */
const ownFields: ReadonlySet<string> = new Set(['content-type', 'content-length', 'grpc-timeout', 'te', 'x-grpc-web']);

/** What of a call the gateway's own clocks decide. */
export interface GrpcTimes {
  readonly timeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly bodyByDeadline: boolean;
  readonly uploadByDeadline: true;
}

/**
 * Lays the deadline: the client's wish, as far as the gateway grants it. Methods with streams may go on for as long as
 * their client likes, so neither the gateway's deadline nor the timeout for the first byte holds for them.
 */
export function planGrpcTimes(
  { timeoutMs, idleTimeoutMs }: RouteTarget,
  grpc: GrpcSchema,
  path: string,
  context: GatewayRequest,
): GrpcTimes {
  const wishMs = parseGrpcTimeoutMs(context.headers['grpc-timeout']);
  if (grpc.isStreaming(path)) {
    context.deadlineAtMs = context.startedAtMs + Math.min(wishMs ?? Number.POSITIVE_INFINITY, grpc.maxStreamMs);
    return {
      timeoutMs: timeoutMs ?? endlessMs,
      idleTimeoutMs: idleTimeoutMs ?? endlessMs,
      bodyByDeadline: Number.isFinite(context.deadlineAtMs),
      uploadByDeadline: true,
    };
  }
  return {
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
    bodyByDeadline: grpc.isUnary(path) || wishMs !== undefined,
    uploadByDeadline: true,
  };
}

/** The headers of a call, of those that go to the service anyway. */
export function buildGrpcHeaders(
  forwarded: readonly string[],
  contentType: string,
  { bodyByDeadline }: GrpcTimes,
  context: GatewayRequest,
): string[] {
  const headers: string[] = [];
  for (let i = 0; i + 1 < forwarded.length; i += 2) {
    if (!ownFields.has((forwarded[i] ?? '').toLowerCase())) headers.push(forwarded[i] ?? '', forwarded[i + 1] ?? '');
  }
  headers.push('content-type', contentType, 'te', 'trailers');
  const leftMs = context.deadlineAtMs - performance.now();
  if (bodyByDeadline && Number.isFinite(leftMs)) headers.push('grpc-timeout', formatGrpcTimeout(leftMs));
  return headers;
}

/** The call that a client of gRPC asks for. */
export function buildGrpcCall(
  form: GrpcForm,
  grpc: GrpcSchema,
  route: RouteTarget,
  outgoing: OutgoingRequest,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
): CallRequest {
  if (context.method !== 'POST') throw new GatewayError('METHOD_NOT_ALLOWED', 'gRPC is POST', { allow: ['POST'] });
  if (form !== 'grpc' && grpc.web === 'refuse') {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'This service is not open to gRPC-Web');
  }
  const { path, headers } = outgoing;
  const times = planGrpcTimes(route, grpc, path, context);
  noteGrpcCall(context, form);
  context.endAnswer = (error) => {
    endWithStatus(form, error, response);
    return true;
  };
  return {
    ...outgoing,
    headers: buildGrpcHeaders(headers, contentTypeOf('grpc', request.headers['content-type']), times, context),
    body: readGrpcBody(request, form, {
      maxMessageBytes: grpc.maxMessageBytes,
      maxBytes: grpc.isStreaming(path) ? Number.POSITIVE_INFINITY : route.maxBodyBytes,
      meter: context.meter,
    }),
    // gRPC retries by itself, with a policy of its own: what may have been sent is not sent twice.
    idempotent: false,
    ...times,
    ...(route.edge.carriesCredentials && { credentialed: true }),
    receiver: new GrpcAnswer(form, grpc, route, request, response, context),
  };
}

/** Writes an answer as it arrives; its status comes last. */
class GrpcAnswer implements Receiver {
  readonly #form: GrpcForm;
  readonly #guard: FrameGuard;
  readonly #route: RouteTarget;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #context: GatewayRequest;
  /** Of an answer without messages: what the head brought of a status. */
  #early: [string, string][] | null = null;
  #status = '';
  /** Held until it is known that more follows. */
  #head: string[] | null = null;

  constructor(
    form: GrpcForm,
    { maxMessageBytes }: GrpcSchema,
    route: RouteTarget,
    request: IncomingMessage,
    response: ServerResponse,
    context: GatewayRequest,
  ) {
    this.#form = form;
    this.#guard = new FrameGuard(maxMessageBytes);
    this.#route = route;
    this.#request = request;
    this.#response = response;
    this.#context = context;
  }

  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void {
    const own = endToEndResponseHeaders(rawHeaders);
    assertGrpcAnswer(status, own);
    const { cookies } = this.#route.edge;
    if (cookies !== null) rewriteCookies(own, cookies);
    const { kept, moved } = splitStatus(own);
    const type = contentTypeOf(this.#form, this.#request.headers['content-type']);
    this.#head = [...kept, 'content-type', type, ...edgeHeaders(this.#context)];
    this.#response.on('drain', () => flow.resume());
    if (moved.length > 0) this.#early = moved;
    else this.#begin();
  }

  onData(chunk: Buffer): boolean {
    this.#guard.pass(chunk);
    this.#begin();
    this.#context.bodyBytes += chunk.length;
    this.#context.meter?.passResponse(chunk.length);
    return this.#response.write(encodeBody(this.#form, chunk));
  }

  onEnd(trailers: readonly string[]): void {
    this.#context.meter?.settle();
    const fields = [...(this.#early ?? []), ...pickTrailers(trailers)];
    this.#status = fields.find(([name]) => name.toLowerCase() === 'grpc-status')?.[1] ?? '';
    if (this.#status === '') throw new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'The service sent no status');
    noteGrpcStatus(this.#context, this.#status);
    if (this.#form !== 'grpc') {
      this.#begin();
      this.#response.end(encodeBody(this.#form, frameTrailers(fields)));
      return;
    }
    if (this.#head !== null) {
      this.#head.push(...fields.flat());
      if (this.#response instanceof Http2Response) this.#response.endsWithHead = true;
      this.#begin();
    } else this.#response.addTrailers(fields);
    this.#response.end();
  }

  hasErrorCode(codes: ReadonlySet<string>): boolean {
    return this.#status !== '0' && codes.has(nameGrpcStatus(Number(this.#status)));
  }

  #begin(): void {
    if (this.#head === null) return;
    const head = this.#head;
    this.#head = null;
    this.#response.writeHead(200, finishHeaders(this.#context, head));
    if (!(this.#response instanceof Http2Response)) this.#response.flushHeaders();
  }
}

/** Throws for an answer of something else, a proxy before the service perhaps. */
export function assertGrpcAnswer(status: number, headers: readonly string[]): void {
  let type = '';
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() === 'content-type') type = headers[i + 1] ?? '';
  }
  if (status === 200 && /^application\/grpc(?:\+|;|\s|$)/i.test(type)) return;
  const code = status === 401 ? 'UNAUTHENTICATED' : status === 403 ? 'FORBIDDEN' : 'DOWNSTREAM_SERVICE_ERROR';
  throw new GatewayError(code, 'The service did not answer in gRPC', { cause: new Error(`${status} ${type}`) });
}

/** Fields that belong to the end of an answer, and the others; what the gateway says itself is in neither. */
function splitStatus(headers: readonly string[]): { kept: string[]; moved: [string, string][] } {
  const kept: string[] = [];
  const moved: [string, string][] = [];
  let isEnd = false;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase();
    if (name === 'content-type' || name === 'content-length' || name === 'trailer') continue;
    if (name === 'grpc-status') isEnd = true;
    if (name.startsWith('grpc-status') || name === 'grpc-message') moved.push([name, headers[i + 1] ?? '']);
    else kept.push(headers[i] ?? '', headers[i + 1] ?? '');
  }
  return { kept, moved: isEnd ? moved : [] };
}
