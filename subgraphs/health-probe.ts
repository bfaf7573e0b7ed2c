/** One look at one instance: does it listen, or does its health path answer well? */
import http from 'node:http';
import https from 'node:https';
import net, { type LookupFunction } from 'node:net';
import tls from 'node:tls';

export interface HealthProbeOptions {
  /** Origin of the instance. */
  readonly url: string;
  /** Asked with GET; 200-399 is healthy. Null: being able to connect is enough. */
  readonly path: string | null;
  readonly timeoutMs: number;
  /** Name resolution, which may refuse addresses. */
  readonly lookup?: LookupFunction | undefined;
}

/**
 * Resolves when the instance is well; rejects with the reason. It uses a connection of its own: on the pool of the
 * calls it would wait behind them, and a busy instance would look dead.
 */
export function probeHealth(options: HealthProbeOptions): Promise<void> {
  return options.path === null ? probeConnection(options) : probePath(options, options.path);
}

function probePath(options: HealthProbeOptions, path: string): Promise<void> {
  const url = new URL(options.url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = (url.protocol === 'https:' ? https : http).request({
    ...target(url),
    path,
    agent: false,
    headers: { 'user-agent': 'selvage-health-check' },
    ...(options.lookup && { lookup: options.lookup }),
  });
  const timer = setTimeout(() => request.destroy(new Error('timeout')), options.timeoutMs);
  request.on('response', (response) => {
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 400) resolve();
    else reject(new Error(`status ${status}`));
    response.on('error', ignore);
    request.destroy();
  });
  request.on('error', reject);
  request.on('close', () => {
    clearTimeout(timer);
    reject(new Error('closed without an answer'));
  });
  request.end();
  return promise;
}

function probeConnection(options: HealthProbeOptions): Promise<void> {
  const url = new URL(options.url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const connection = { ...target(url), ...(options.lookup && { lookup: options.lookup }) };
  const secure = url.protocol === 'https:';
  const socket = secure ? tls.connect({ ...connection, ...serverName(url) }) : net.connect(connection);
  const timer = setTimeout(() => socket.destroy(new Error('timeout')), options.timeoutMs);
  socket.on(secure ? 'secureConnect' : 'connect', () => {
    resolve();
    socket.destroy();
  });
  socket.on('error', reject);
  socket.on('close', () => {
    clearTimeout(timer);
    reject(new Error('closed'));
  });
  return promise;
}

function target(url: URL): { host: string; port: number } {
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  return { host, port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80) };
}

/** An address is no server name (RFC 6066 section 3). */
function serverName(url: URL): { servername?: string } {
  return net.isIP(target(url).host) === 0 ? { servername: url.hostname } : {};
}

function ignore(): void {}
