/** The HTTP/1.1 connections to one instance. */
import type { Socket } from 'node:net';
import { errors } from 'undici';
import type { ExchangeHandler } from './exchange.ts';
import { type ConnectionOwner, Http1Connection } from './http1-connection.ts';
import { Http1Exchange, type WholeRequest } from './http1-exchange.ts';

export interface Http1ConnectionsOptions {
  /** What `Host` says. */
  readonly host: string;
  /** At most so many at a time; requests wait beyond. */
  readonly connections: number;
  /** How old a connection may become before it takes nothing more. @default as old as it may */
  readonly maxAgeMs?: number | undefined;
  connect(): Promise<Socket>;
  /** @default performance.now */
  readonly now?: () => number;
}

/** Where the service does not say how long it waits. */
const idleMs = 4_000;
const longestIdleMs = 600_000;
/** A request on its way may meet the end of a service's patience. */
const idleMarginMs = 1_000;
const sweepMs = 1_000;

/**
 * Exchanges wait in a row and are written behind the events of a turn of the event loop. By then it is known what an idle
 * connection had received when the turn began: its end, or bytes that would be taken for the answer to what comes next.
 */
export class Http1Connections implements ConnectionOwner {
  readonly #options: Http1ConnectionsOptions;
  readonly #now: () => number;
  readonly #waiting: Http1Exchange[] = [];
  /** The one that was used last is the last, and the first to be taken. */
  readonly #idle: Http1Connection[] = [];
  readonly #all = new Set<Http1Connection>();
  #connecting = 0;
  #isFlushing = false;
  #sweep: NodeJS.Timeout | undefined;
  #state: 'open' | 'closed' | 'destroyed' = 'open';
  readonly #ended = Promise.withResolvers<void>();

  constructor(options: Http1ConnectionsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Never throws: the handler hears of everything. */
  dispatch(request: WholeRequest, handler: ExchangeHandler): void {
    try {
      if (this.#state === 'closed') throw new errors.ClientClosedError();
      if (this.#state === 'destroyed') throw new errors.ClientDestroyedError();
      this.#waiting.push(new Http1Exchange(request, handler, this.#options.host));
    } catch (thrown) {
      handler.onResponseError(null, thrown as Error);
      return;
    }
    if (this.#idle.length > 0) this.#flushSoon();
    this.#connectMore();
  }

  /** Takes nothing more. Resolves when all is answered. */
  close(): Promise<void> {
    if (this.#state === 'open') this.#state = 'closed';
    if (this.#waiting.length === 0) this.#dropIdle();
    this.#endIfEmpty();
    return this.#ended.promise;
  }

  /** Cuts what is under way. */
  destroy(): Promise<void> {
    this.#state = 'destroyed';
    const error = new errors.ClientDestroyedError();
    for (const exchange of this.#waiting.splice(0)) exchange.fail(error);
    for (const connection of this.#all) connection.destroy(error);
    this.#endIfEmpty();
    return this.#ended.promise;
  }

  onFree(connection: Http1Connection): void {
    const nowMs = this.#now();
    const { keepAliveSeconds } = connection;
    const patienceMs = keepAliveSeconds === undefined ? idleMs : keepAliveSeconds * 1_000 - idleMarginMs;
    const { maxAgeMs = Number.POSITIVE_INFINITY } = this.#options;
    connection.idleUntilMs = Math.min(nowMs + Math.min(patienceMs, longestIdleMs), connection.bornAtMs + maxAgeMs);
    if (connection.idleUntilMs > nowMs) this.#rest(connection);
    else connection.destroy();
  }

  onGone(connection: Http1Connection): void {
    this.#all.delete(connection);
    const index = this.#idle.indexOf(connection);
    if (index !== -1) this.#idle.splice(index, 1);
    this.#connectMore();
    this.#endIfEmpty();
  }

  /** For its timer. */
  sweep(): void {
    this.#sweep = undefined;
    const nowMs = this.#now();
    for (const connection of this.#idle.filter(({ idleUntilMs }) => idleUntilMs <= nowMs)) connection.destroy();
    if (this.#idle.length > 0) this.#sweep = setTimeout(sweep, sweepMs, this).unref();
  }

  /** For its turn. */
  flush(): void {
    this.#isFlushing = false;
    const nowMs = this.#now();
    while (this.#waiting.length > 0) {
      const connection = this.#idle.pop();
      if (connection === undefined) break;
      if (connection.idleUntilMs <= nowMs) connection.destroy();
      else this.#give(connection);
    }
    if (this.#state !== 'open' && this.#waiting.length === 0) this.#dropIdle();
    this.#connectMore();
    this.#endIfEmpty();
  }

  /** Whether more wait than what is idle, or on its way, will serve. */
  get #lacks(): boolean {
    return this.#waiting.length > this.#idle.length + this.#connecting;
  }

  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(flush, this);
  }

  /** To the next that still wants it; else the connection stays as idle as it was. */
  #give(connection: Http1Connection): void {
    for (;;) {
      const exchange = this.#waiting.shift();
      if (exchange === undefined) break;
      if (!exchange.begin()) continue;
      connection.carry(exchange);
      return;
    }
    this.#rest(connection);
  }

  #rest(connection: Http1Connection): void {
    if (this.#waiting.length > 0) this.#flushSoon();
    else if (this.#state !== 'open') {
      connection.destroy();
      return;
    }
    this.#idle.push(connection);
    this.#sweep ??= setTimeout(sweep, sweepMs, this).unref();
  }

  #connectMore(): void {
    const { connections } = this.#options;
    while (this.#lacks && this.#all.size + this.#connecting < connections) {
      this.#connecting++;
      void this.#connect();
    }
  }

  async #connect(): Promise<void> {
    let socket: Socket | null = null;
    let failure: unknown = null;
    try {
      socket = await this.#options.connect();
      if (socket.destroyed) failure = socket.errored ?? new errors.SocketError('closed');
    } catch (thrown) {
      failure = thrown;
    }
    this.#connecting--;
    if (socket !== null && failure === null) this.#take(socket);
    else if (this.#lacks) {
      this.#waiting.shift()?.fail(failure as Error);
      this.#connectMore();
    }
    this.#endIfEmpty();
  }

  #take(socket: Socket): void {
    const nowMs = this.#now();
    const connection = new Http1Connection(socket, this, nowMs);
    this.#all.add(connection);
    connection.idleUntilMs = nowMs + idleMs;
    if (this.#state === 'destroyed') connection.destroy();
    else this.#give(connection);
  }

  #dropIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  #endIfEmpty(): void {
    // What is still connecting is not waited for: it will be cut when it comes.
    if (this.#state === 'open' || this.#all.size > 0 || this.#waiting.length > 0) return;
    clearTimeout(this.#sweep);
    this.#ended.resolve();
  }
}

function flush(connections: Http1Connections): void {
  connections.flush();
}

function sweep(connections: Http1Connections): void {
  connections.sweep();
}
