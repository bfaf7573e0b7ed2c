/** What is known of each client's connection while answers are due on it. */
import { IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { GatewayError } from '../policies/errors.ts';
import { Http2Request } from './http2-messages.ts';

/** Answers a request with an error, or cuts it where its answer has begun. */
export type FailRequest = (error: GatewayError) => void;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly fail: FailRequest;
}

/**
 * One connection. Node hands out pipelined requests before the answers to those in front are written, so a fault of a
 * later one must neither be mistaken for an answer to an earlier one, nor leave the ones after it to be acted upon.
 */
export class ClientConnection {
  /** In the order of their requests. */
  readonly exchanges: Exchange[] = [];
  /** Nothing that still comes on it is acted upon. */
  isDoomed = false;
  /** What goes out when all answers are written; null for nothing. */
  #lastWords: (() => void) | null = null;

  /** {@link end} must follow. */
  begin(exchange: Exchange): void {
    this.exchanges.push(exchange);
  }

  /** The answer is written, or its connection is gone. */
  end(exchange: Exchange): void {
    const index = this.exchanges.indexOf(exchange);
    if (index !== -1) this.exchanges.splice(index, 1);
    if (this.exchanges.length === 0) this.#lastWords?.();
  }

  /** The exchange whose request is still being received. */
  get receiving(): Exchange | undefined {
    const last = this.exchanges.at(-1);
    return last === undefined || last.request.complete ? undefined : last;
  }

  /**
   * Ends the connection where an answer breaks off, once those before it are written. An answer that waits for its turn has
   * no connection to destroy yet: its client would wait for the rest for ever.
   */
  breakOff(response: ServerResponse): void {
    this.isDoomed = true;
    const front = this.exchanges[0]?.response ?? response;
    if (front === response) response.destroy();
    else front.once('close', () => this.breakOff(response));
  }

  /** Calls `speak` as soon as every answer that is due is written. */
  finish(speak: () => void): void {
    this.isDoomed = true;
    if (this.exchanges.length === 0) speak();
    else this.#lastWords = speak;
  }
}

/** Finds the connection of a request, or of a socket. */
export class ClientConnections {
  readonly #connections = new WeakMap<Socket, ClientConnection>();

  of(source: IncomingMessage | Socket): ClientConnection {
    // Streams of HTTP/2 have nothing to do with each other: what is wrong with one dooms no other (RFC 9113 section 5.4.2).
    if (source instanceof Http2Request) return new ClientConnection();
    const socket = source instanceof IncomingMessage ? source.socket : source;
    const known = this.#connections.get(socket);
    if (known !== undefined) return known;
    const connection = new ClientConnection();
    this.#connections.set(socket, connection);
    return connection;
  }
}
