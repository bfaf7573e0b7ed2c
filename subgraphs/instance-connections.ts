/** The connections to one instance, as it is spoken to now. */
import type { LookupFunction, Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { type buildConnector, type Dispatcher, Pool } from 'undici';
import type { ExchangeHandler, ExchangeRequest } from './exchange.ts';
import { Http1Connections } from './http1-connections.ts';
import type { WholeRequest } from './http1-exchange.ts';
import {
  createInstanceConnector,
  createPoolConnector,
  type InstanceTransport,
  serverNameOf,
} from './instance-connector.ts';
import { PooledExchange } from './pooled-exchange.ts';

export interface InstanceConnectionsOptions extends InstanceTransport {
  readonly url: string;
  /** At most so many at a time. */
  readonly connections: number;
  /** How old one may become; undefined for any age. */
  readonly maxAgeMs: number | undefined;
  readonly lookup: LookupFunction | undefined;
}

/** undici takes the name from Host otherwise, and reconnects whenever it changes; its types do not mention it. */
type DispatchOptions = Dispatcher.DispatchOptions & { readonly servername: string | undefined };

/**
 * Requests whose body is there as a whole go over connections of our own, at two thirds of what undici takes for a small
 * one. HTTP/2, and bodies that are still on their way, are undici's; its pool is made when the first of them comes.
 */
export class InstanceConnections {
  readonly #options: InstanceConnectionsOptions;
  /** What TLS asks for: what the service says, else the instance's own name. */
  readonly #serverName: string | undefined;
  /** Null where HTTP/2 is spoken. */
  readonly #http1: Http1Connections | null;
  #pool: Pool | undefined;
  #connector: buildConnector.connector | undefined;
  #ending: 'close' | 'destroy' | undefined;

  constructor(options: InstanceConnectionsOptions) {
    const { url, tls, http2, connections, maxAgeMs } = options;
    this.#options = options;
    this.#serverName = serverNameOf(url, tls);
    const { host } = new URL(url);
    this.#http1 = http2 ? null : new Http1Connections({ host, connections, maxAgeMs, connect: () => this.connect() });
  }

  /** Never throws: the handler hears of everything. */
  dispatch(request: ExchangeRequest, handler: ExchangeHandler): void {
    if (this.#http1 !== null && isWhole(request)) {
      this.#http1.dispatch(request, handler);
      return;
    }
    const options: DispatchOptions = {
      method: request.method as Dispatcher.HttpMethod,
      path: request.path,
      headers: request.headers as string[],
      // undici takes any async iterable; its types name only streams.
      body: request.body as Readable | Buffer | string | null,
      // The call keeps time by itself, and knows of uploads and of event streams.
      bodyTimeout: 0,
      servername: this.#serverName,
    };
    this.#pool ??= this.#createPool();
    this.#pool.dispatch(options, new PooledExchange(handler));
  }

  /** A connection in HTTP/1.1 for the caller alone. Rejects with a `ConnectFailure`. */
  connect(): Promise<Socket> {
    const { url, lookup, tls } = this.#options;
    const { protocol, hostname, port } = new URL(url);
    const servername = this.#serverName;
    const wanted = { protocol, hostname: hostname.replace(/^\[|\]$/g, ''), port, ...(servername && { servername }) };
    this.#connector ??= createInstanceConnector({ lookup, http2: false, tls });
    const connect = this.#connector;
    return new Promise((resolve, reject) => {
      connect(wanted, (...[error, socket]) => {
        if (error !== null) reject(error);
        else resolve(socket);
      });
    });
  }

  /** Takes nothing more. Resolves when all is answered. */
  async close(): Promise<void> {
    this.#ending ??= 'close';
    await Promise.all([this.#http1?.close(), this.#pool?.close()]);
  }

  /** Cuts what is under way. */
  async destroy(): Promise<void> {
    this.#ending = 'destroy';
    await Promise.all([this.#http1?.destroy(), this.#pool?.destroy()]);
  }

  #createPool(): Pool {
    const { url, connections, maxAgeMs, http2, tls, lookup } = this.#options;
    const pool = new Pool(url, {
      connections,
      pipelining: 1,
      allowH2: http2,
      useMilo: false,
      ...(maxAgeMs !== undefined && { clientTtl: maxAgeMs }),
      // The call keeps time until the head by itself: undici's own timers are coarse, and do not know about uploads.
      headersTimeout: 0,
      connect: createPoolConnector({ lookup, http2, tls }),
    });
    // Made too late, it says so by the codes it would have had.
    if (this.#ending !== undefined) void pool[this.#ending]();
    return pool;
  }
}

function isWhole(request: ExchangeRequest): request is WholeRequest {
  const { body } = request;
  return body === null || typeof body === 'string' || Buffer.isBuffer(body);
}
