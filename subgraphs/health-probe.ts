/** One look at one instance: does it listen, does its health path answer well, does it answer a query? */
import http from 'node:http';
import https from 'node:https';
import net, { type LookupFunction } from 'node:net';
import tls from 'node:tls';
import type { HealthCheck } from './health-settings.ts';
import { findRefusal } from './instance-connector.ts';
import type { InstanceTls } from './service-tls.ts';

export interface HealthProbeOptions {
  /** Origin of the instance. */
  readonly url: string;
  /** Null: being able to connect is enough, as it is for `tcp`. */
  readonly check: HealthCheck | null;
  readonly timeoutMs: number;
  /** Name resolution, which may refuse addresses. */
  readonly lookup?: LookupFunction | undefined;
  /** What the service says of TLS. */
  readonly tls?: InstanceTls | null | undefined;
}

/** What was wrong, and whether the instance could be connected to at all. */
export class ProbeFailure extends Error {
  override readonly name = 'ProbeFailure';
  readonly connected: boolean;
  /** Of the socket's own error. */
  readonly code?: string;

  constructor(cause: Error, connected: boolean) {
    super(cause.message, { cause });
    this.connected = connected;
    if ('code' in cause && typeof cause.code === 'string') this.code = cause.code;
  }
}

type RequestCheck = Extract<HealthCheck, { path: string }>;
type Judge = (response: http.IncomingMessage) => Promise<void>;

/** The answer to `{ __typename }` has some tens of bytes; what is longer is something else. */
const maxAnswerBytes = 65_536;

/**
 * Resolves when the instance is well; rejects with a {@link ProbeFailure}. It uses a connection of its own: on the pool
 * of the calls it would wait behind them, and a busy instance would look dead.
 */
export function probeHealth(options: HealthProbeOptions): Promise<void> {
  const { check, tls, url } = options;
  const refusal = tls ? findRefusal(tls, new URL(url).protocol) : null;
  if (refusal !== null) return Promise.reject(new ProbeFailure(refusal, false));
  if (check === null || check.kind === 'tcp') return probeConnection(options);
  if (check.kind === 'graphql') return probeGraphql(options, check);
  return probeRequest(options, check, 'GET', null, async (response) => {
    const status = response.statusCode ?? 0;
    if (!check.expected.some(([first, last]) => status >= first && status <= last)) throw new Error(`status ${status}`);
  });
}

function probeGraphql(options: HealthProbeOptions, check: RequestCheck): Promise<void> {
  const headers = {
    accept: 'application/graphql-response+json, application/json',
    'content-type': 'application/json',
    ...check.headers,
  };
  return probeRequest(options, { ...check, headers }, 'POST', '{"query":"{__typename}"}', async (response) => {
    const status = response.statusCode ?? 0;
    const answer = parseAnswer(await readText(response));
    if (typeof answer?.data?.__typename === 'string') return;
    throw new Error(status >= 200 && status < 300 ? 'no data' : `status ${status}`);
  });
}

function probeRequest(
  options: HealthProbeOptions,
  check: RequestCheck,
  method: string,
  body: string | null,
  judge: Judge,
): Promise<void> {
  const url = new URL(options.url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let connected = false;
  const fail = (error: Error): void => reject(new ProbeFailure(error, connected));
  const secure = url.protocol === 'https:';
  const request = (secure ? https : http).request({
    ...target(url),
    method,
    path: check.path,
    agent: false,
    headers: { 'user-agent': 'selvage-health-check', ...check.headers },
    ...(secure && { ...serverName(url), ...options.tls }),
    ...(options.lookup && { lookup: options.lookup }),
  });
  const timer = setTimeout(() => request.destroy(new Error('timeout')), options.timeoutMs);
  request.on('socket', (socket) => {
    socket.on(secure ? 'secureConnect' : 'connect', () => {
      connected = true;
    });
  });
  request.on('response', (response) => {
    response.on('error', fail);
    judge(response)
      .then(resolve, fail)
      .finally(() => request.destroy());
  });
  request.on('error', fail);
  request.on('close', () => {
    clearTimeout(timer);
    fail(new Error('closed without an answer'));
  });
  request.end(body ?? undefined);
  return promise;
}

function probeConnection(options: HealthProbeOptions): Promise<void> {
  const url = new URL(options.url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (error: Error): void => reject(new ProbeFailure(error, false));
  const connection = { ...target(url), ...(options.lookup && { lookup: options.lookup }) };
  const secure = url.protocol === 'https:';
  const socket = secure ? tls.connect({ ...connection, ...serverName(url), ...options.tls }) : net.connect(connection);
  const timer = setTimeout(() => socket.destroy(new Error('timeout')), options.timeoutMs);
  socket.on(secure ? 'secureConnect' : 'connect', () => {
    resolve();
    socket.destroy();
  });
  socket.on('error', fail);
  socket.on('close', () => {
    clearTimeout(timer);
    fail(new Error('closed'));
  });
  return promise;
}

async function readText(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxAnswerBytes) throw new Error('an answer too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseAnswer(text: string): { readonly data?: { readonly __typename?: unknown } | null } | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function target(url: URL): { host: string; port: number } {
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  return { host, port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80) };
}

/** What TLS asks for, also where the Host header is another. An address is no server name (RFC 6066 section 3). */
function serverName(url: URL): { servername?: string } {
  return net.isIP(target(url).host) === 0 ? { servername: url.hostname } : {};
}
