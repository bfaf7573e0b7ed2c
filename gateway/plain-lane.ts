/**
 * Reads plain requests itself, in front of Node's parser: see {@link readPlainHead}. A connection begins here, and goes to
 * Node's server for good with the first bytes that are not one plain request, exactly as they came. So there is one place
 * that judges what is malformed, and what is served here needs no judgement.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { ClientLimits } from './client-limits.ts';
import { HttpDate } from './plain-answer-head.ts';
import { readPlainHead } from './plain-head.ts';
import { type PlainCarrier, PlainRequest, PlainResponse } from './plain-messages.ts';

export interface PlainLaneOptions {
  readonly limits: ClientLimits & { readonly maxHeaderBytes: number; readonly headersTimeoutMs: number };
}

/** Lets the server take plain requests this way. What it serves comes as its `request` event, as all requests do. */
export function addPlainLane(server: Server, { limits }: PlainLaneOptions): void {
  const event = server instanceof TlsServer ? 'secureConnection' : 'connection';
  const listeners = server.listeners(event);
  const lane: Lane = {
    server,
    limits,
    connections: new Set(),
    date: new HttpDate(),
    handOver(socket) {
      for (const listener of listeners) listener.call(server, socket);
    },
  };
  server.removeAllListeners(event);
  server.on(event, (socket: Socket) => lane.connections.add(new PlainConnection(lane, socket)));
  closeIdle(lane);
  closeTogether(lane);
}

interface Lane {
  readonly server: Server;
  readonly limits: PlainLaneOptions['limits'];
  readonly connections: Set<PlainConnection>;
  readonly date: HttpDate;
  /** To Node's own server. */
  handOver(socket: Socket): void;
}

/** One connection, one request at a time. */
class PlainConnection implements PlainCarrier {
  readonly socket: Socket;
  readonly date: HttpDate;
  readonly keepAliveSeconds: number;
  readonly #lane: Lane;
  /** What is being answered. */
  #response: PlainResponse | null = null;
  /** What came in the meantime: a client that does not wait for its answers. */
  #next: Buffer | null = null;
  #hasEnded = false;
  #served = 0;
  /** How often it was looked at since it was last used. */
  #looks = 0;

  constructor(lane: Lane, socket: Socket) {
    this.#lane = lane;
    this.socket = socket;
    this.date = lane.date;
    this.keepAliveSeconds = Math.floor(lane.limits.keepAliveMs / 1_000);
    socket
      .on('data', this.#onData)
      .on('drain', this.#onDrain)
      .on('end', this.#onEnd)
      .on('close', this.#onClose)
      .on('timeout', this.#onTimeout)
      .on('error', this.#onError);
    socket.setTimeout(lane.server.timeout);
  }

  get isIdle(): boolean {
    return this.#response === null;
  }

  /** Counts how often it was found idle, and says how long it may be. */
  look(everyMs: number): void {
    if (this.#response !== null) return;
    const { keepAliveMs, headersTimeoutMs } = this.#lane.limits;
    const mayRestMs = this.#served === 0 ? headersTimeoutMs : keepAliveMs;
    if (mayRestMs > 0 && ++this.#looks * everyMs > mayRestMs) this.socket.destroy();
  }

  finish(): void {
    const keepsAlive = this.#response?.shouldKeepAlive === true;
    this.#response = null;
    this.#looks = 0;
    if (!keepsAlive) {
      // What came behind a request that was the last is not looked at (RFC 9112 section 9.6).
      this.socket.destroySoon();
      return;
    }
    const next = this.#next;
    this.#next = null;
    if (next !== null) this.#handOver(next);
    else if (this.#hasEnded) this.socket.end();
  }

  readonly #onData = (piece: Buffer): void => {
    if (this.#response !== null) {
      this.#next = this.#next === null ? piece : Buffer.concat([this.#next, piece]);
      this.socket.pause();
      return;
    }
    const { limits, server } = this.#lane;
    const head = readPlainHead(piece, limits);
    if (head === null) {
      this.#handOver(piece);
      return;
    }
    this.#served++;
    const isLast = this.#served === limits.maxRequestsPerConnection;
    const request = new PlainRequest(this.socket, head);
    this.#response = new PlainResponse(this, request, head.keepsAlive && !isLast);
    server.emit('request', request, this.#response);
  };

  /** It goes on as if nothing had happened, with what has come meanwhile. */
  #handOver(piece: Buffer): void {
    const { socket } = this;
    this.#lane.connections.delete(this);
    socket.pause();
    socket
      .off('data', this.#onData)
      .off('drain', this.#onDrain)
      .off('end', this.#onEnd)
      .off('close', this.#onClose)
      .off('timeout', this.#onTimeout)
      .off('error', this.#onError);
    socket.setTimeout(0);
    socket.unshift(piece);
    this.#lane.handOver(socket);
    socket.resume();
  }

  readonly onWritten = (error?: Error | null): void => {
    if (!error) this.#response?.noteWritten();
  };

  readonly #onDrain = (): void => {
    this.#response?.emit('drain');
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    if (this.#response === null) this.socket.end();
  };

  readonly #onClose = (): void => {
    this.#lane.connections.delete(this);
    this.#response?.lose();
  };

  /** Nothing moved for as long as a client may be idle. Between requests it may be longer: see {@link look}. */
  readonly #onTimeout = (): void => {
    if (this.#response !== null) this.#lane.server.emit('timeout', this.socket);
  };

  readonly #onError = (): void => {
    this.socket.destroy();
  };
}

/** One timer for all connections: one for each would be set anew with every request. */
function closeIdle({ server, connections, limits }: Lane): void {
  const shortestMs = Math.min(limits.keepAliveMs || limits.headersTimeoutMs, limits.headersTimeoutMs);
  const everyMs = Math.min(1_000, Math.max(50, shortestMs / 8));
  const timer = setInterval(() => {
    for (const connection of connections) connection.look(everyMs);
  }, everyMs).unref();
  server.once('close', () => clearInterval(timer));
}

/** With the connections that Node knows of. */
function closeTogether({ server, connections }: Lane): void {
  const closeIdleConnections = server.closeIdleConnections.bind(server);
  const closeAllConnections = server.closeAllConnections.bind(server);
  server.closeIdleConnections = () => {
    for (const { isIdle, socket } of connections) if (isIdle) socket.destroy();
    closeIdleConnections();
  };
  server.closeAllConnections = () => {
    for (const { socket } of connections) socket.destroy();
    closeAllConnections();
  };
}
