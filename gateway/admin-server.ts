/**
 * The admin port: JSON in, JSON out, errors as problem+json (RFC 9457). This file is HTTP only; what the calls do stands
 * in `admin-api.ts`.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import createRouter, { type HTTPMethod } from 'find-my-way';
import { GatewayError, toGatewayError, toProblem } from '../policies/errors.ts';
import type { AdminAccess, Administrator } from './admin-access.ts';
import { isUnread, readBody } from './request-body.ts';

/** Time for the body of an admin request. */
const bodyPatienceMs = 30_000;

/** One call of the admin API, without HTTP. */
export interface AdminRequest {
  readonly administrator: Administrator;
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly ifMatch: string | undefined;
  /** `x-reason`: why somebody changes something. */
  readonly reason?: string | undefined;
  /** The parsed JSON body; undefined when there is none. */
  readonly body: unknown;
}

export interface AdminAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, or as it is when it is a string. */
  readonly body?: unknown;
}

export interface AdminEndpoint {
  readonly method: HTTPMethod;
  readonly path: string;
  readonly handle: (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>;
}

export interface AdminServerOptions {
  readonly access: AdminAccess;
  readonly endpoints: readonly AdminEndpoint[];
  readonly maxBodyBytes: number;
  readonly onFailure: (error: GatewayError, id: string) => void;
}

/** Creates the server without listening. */
export function createAdminServer(options: AdminServerOptions): Server {
  const router = createRouter({ maxParamLength: 256 });
  const unused = () => {};
  for (const endpoint of options.endpoints) router.on(endpoint.method, endpoint.path, unused, endpoint);
  return createServer((request, response) => {
    void serve(options, router, request, response);
  });
}

type Router = ReturnType<typeof createRouter>;

async function serve(
  options: AdminServerOptions,
  router: Router,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const id = randomUUID();
  response.setHeader('x-request-id', id);
  response.setHeader('cache-control', 'no-store');
  try {
    const administrator = options.access.identify(request);
    const { endpoint, parameters, query } = findEndpoint(router, request);
    const body = await readJson(request, options.maxBodyBytes);
    const ifMatch = request.headers['if-match'];
    const given = request.headers['x-reason'];
    const reason = typeof given === 'string' ? given : undefined;
    send(response, await endpoint.handle({ administrator, parameters, query, ifMatch, reason, body }));
  } catch (thrown) {
    const error = toGatewayError(thrown);
    options.onFailure(error, id);
    const problem = toProblem(error, id);
    if (isUnread(request)) response.setHeader('connection', 'close');
    response.writeHead(problem.status, problem.headers).end(problem.body);
  }
}

function findEndpoint(router: Router, request: IncomingMessage) {
  const [path = '/', search = ''] = (request.url ?? '/').split('?', 2);
  const methods: HTTPMethod[] = ['GET', 'PUT', 'POST', 'DELETE'];
  const found = router.find(request.method as HTTPMethod, path);
  if (found !== null) {
    const parameters = found.params as Record<string, string>;
    return { endpoint: found.store as AdminEndpoint, parameters, query: new URLSearchParams(search) };
  }
  const allow = methods.filter((method) => router.find(method, path) !== null);
  if (allow.length === 0) throw new GatewayError('ROUTE_NOT_FOUND', 'The admin API has no such path');
  throw new GatewayError('METHOD_NOT_ALLOWED', `This path does not take ${request.method}`, { allow });
}

/** A body must say that it is JSON: a form that some web page posts to this port then never gets through. */
async function readJson(request: IncomingMessage, maxBodyBytes: number): Promise<unknown> {
  const raw = await readBody(request, maxBodyBytes, { deadlineAtMs: performance.now() + bodyPatienceMs });
  if (raw.length === 0) return undefined;
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json')
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'The body must be application/json');
  try {
    return JSON.parse(raw.toString('utf8'));
  } catch (cause) {
    throw new GatewayError('BAD_REQUEST', `The body is not JSON: ${(cause as Error).message}`);
  }
}

function send(response: ServerResponse, answer: AdminAnswer): void {
  const isText = typeof answer.body === 'string';
  const body =
    answer.body === undefined ? '' : isText ? (answer.body as string) : `${JSON.stringify(answer.body, null, 2)}\n`;
  response.writeHead(answer.status, {
    'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json',
    'content-length': Buffer.byteLength(body),
    ...answer.headers,
  });
  response.end(body);
}
