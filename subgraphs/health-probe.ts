/** One look at one instance: does it listen, does its health path answer well, does it answer a query? */
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { buildGrpcHealthRequest, judgeGrpcHealth } from './grpc-health.ts';
import type { HealthCheck } from './health-settings.ts';
import { probeOverHttp2 } from './http2-probe.ts';
import { findRefusal } from './instance-connector.ts';
import {
  type JudgeAnswer,
  type ProbeAnswer,
  ProbeFailure,
  type ProbeRequest,
  type ProbeTarget,
  readProbeBody,
} from './probe-request.ts';

export interface HealthProbeOptions extends ProbeTarget {
  /** Null: being able to connect is enough, as it is for `tcp`. */
  readonly check: HealthCheck | null;
}

/** One request and what is made of the answer; rejects with a {@link ProbeFailure}. */
type Ask = (target: ProbeTarget, request: ProbeRequest, judge: JudgeAnswer) => Promise<void>;

const graphqlHeaders = {
  accept: 'application/graphql-response+json, application/json',
  'content-type': 'application/json',
};

/**
 * Resolves when the instance is well; rejects with a {@link ProbeFailure}. It uses a connection of its own: on the pool
 * of the calls it would wait behind them, and a busy instance would look dead.
 */
export function probeHealth(options: HealthProbeOptions): Promise<void> {
  const { check, tls, url } = options;
  const refusal = tls ? findRefusal(tls, new URL(url).protocol) : null;
  if (refusal !== null) return Promise.reject(new ProbeFailure(refusal, false));
  if (check === null || check.kind === 'tcp') return probeConnection(options);
  if (check.kind === 'grpc') {
    const request = buildGrpcHealthRequest(check.service, withAgent(check.headers), options.timeoutMs);
    return probeOverHttp2(options, request, judgeGrpcHealth);
  }
  const ask: Ask = check.http2 ? probeOverHttp2 : probeOverHttp1;
  const { path, headers } = check;
  if (check.kind === 'graphql') {
    const own = withAgent({ ...graphqlHeaders, ...headers });
    return ask(options, { method: 'POST', path, headers: own, body: '{"query":"{__typename}"}' }, judgeGraphql);
  }
  const { expected } = check;
  return ask(options, { method: 'GET', path, headers: withAgent(headers), body: null }, async ({ status }) => {
    if (!expected.some(([first, last]) => status >= first && status <= last)) throw new Error(`status ${status}`);
  });
}

function withAgent(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { 'user-agent': 'selvage-health-check', ...headers };
}

async function judgeGraphql(answer: ProbeAnswer): Promise<void> {
  const { status } = answer;
  const { data } = parseAnswer(String(await readProbeBody(answer))) ?? {};
  if (typeof data?.__typename === 'string') return;
  throw new Error(status >= 200 && status < 300 ? 'no data' : `status ${status}`);
}

function probeOverHttp1(options: ProbeTarget, asked: ProbeRequest, judge: JudgeAnswer): Promise<void> {
  const url = new URL(options.url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let connected = false;
  const fail = (error: Error): void => reject(new ProbeFailure(error, connected));
  const secure = url.protocol === 'https:';
  const request = (secure ? https : http).request({
    ...target(url),
    method: asked.method,
    path: asked.path,
    agent: false,
    headers: asked.headers,
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
    const { statusCode: status = 0, headers, trailers } = response;
    judge({ status, headers, body: response, trailers })
      .then(resolve, fail)
      .finally(() => request.destroy());
  });
  request.on('error', fail);
  request.on('close', () => {
    clearTimeout(timer);
    fail(new Error('closed without an answer'));
  });
  request.end(asked.body ?? undefined);
  return promise;
}

function probeConnection(options: ProbeTarget): Promise<void> {
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
