/** What tests of connections to instances need: a handler that writes down what it hears. */
import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import type { ExchangeControl, ExchangeHandler } from '../../subgraphs/exchange.ts';
import { Http1Connections, type Http1ConnectionsOptions } from '../../subgraphs/http1-connections.ts';
import type { WholeRequest } from '../../subgraphs/http1-exchange.ts';

export interface HeardAnswer {
  readonly interims: readonly number[];
  readonly status: number;
  readonly rawHeaders: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  /** How it failed; undefined for an answer that is whole. */
  readonly error: (Error & { code?: string }) | undefined;
}

export class NotingHandler implements ExchangeHandler {
  readonly interims: number[] = [];
  status = 0;
  rawHeaders: readonly string[] = [];
  body = '';
  trailers: readonly string[] = [];
  error: (Error & { code?: string }) | undefined;
  /** How often it was told to begin, and of an end. */
  starts = 0;
  ends = 0;
  control: ExchangeControl | null = null;
  readonly #over = Promise.withResolvers<HeardAnswer>();
  readonly #started = Promise.withResolvers<void>();

  /** Its end, whole or not. */
  get over(): Promise<HeardAnswer> {
    return this.#over.promise;
  }

  get started(): Promise<void> {
    return this.#started.promise;
  }

  onRequestStart(control: ExchangeControl): void {
    this.starts++;
    this.control = control;
    this.#started.resolve();
  }

  onResponseStart(_control: ExchangeControl, status: number, rawHeaders: string[]): void {
    if (status < 200) this.interims.push(status);
    else {
      this.status = status;
      this.rawHeaders = rawHeaders;
    }
  }

  onResponseData(_control: ExchangeControl, chunk: Buffer): void {
    this.body += chunk.toString('latin1');
  }

  onResponseEnd(_control: ExchangeControl, rawTrailers: string[]): void {
    this.trailers = rawTrailers;
    this.#end();
  }

  onResponseError(_control: ExchangeControl | null, error: Error): void {
    this.error = error;
    this.#end();
  }

  #end(): void {
    this.ends++;
    const { interims, status, rawHeaders, body, trailers, error } = this;
    this.#over.resolve({ interims, status, rawHeaders, body, trailers, error });
  }
}

/** Connections to a service of a test. `made` are those that were made, in order. */
export function openConnections(
  url: string,
  options: Partial<Http1ConnectionsOptions> = {},
): { readonly connections: Http1Connections; readonly made: Socket[] } {
  const { host, hostname, port } = new URL(url);
  const made: Socket[] = [];
  const connections = new Http1Connections({
    host,
    connections: 10,
    async connect() {
      const socket = connectSocket(Number(port), hostname);
      await once(socket, 'connect');
      made.push(socket);
      return socket;
    },
    ...options,
  });
  return { connections, made };
}

export function get(path: string, more: Partial<WholeRequest> = {}): WholeRequest {
  return { method: 'GET', path, headers: [], body: null, ...more };
}

export async function send(connections: Http1Connections, request: WholeRequest): Promise<HeardAnswer> {
  const handler = new NotingHandler();
  connections.dispatch(request, handler);
  return await handler.over;
}
