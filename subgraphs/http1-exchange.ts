/** One request on an HTTP/1.1 connection: what is to be written, and who hears of the answer. */
import type { ExchangeControl, ExchangeHandler, ExchangeRequest } from './exchange.ts';
import type { Http1Connection } from './http1-connection.ts';
import { renderRequestHead } from './http1-request-head.ts';

/** What an HTTP/1.1 connection of ours carries: a body that is there as a whole. */
export interface WholeRequest extends ExchangeRequest {
  readonly body: Buffer | string | null;
}

/** Joined with the head into one string, which costs less than two writes. */
const maxJoinedBytes = 8_192;

/** Its own control: a handler that speaks up late holds what has come to its end, not the connection's next exchange. */
export class Http1Exchange implements ExchangeControl {
  readonly isHead: boolean;
  /** Whether no other may follow on the connection. */
  readonly isLast: boolean;
  readonly handler: ExchangeHandler;
  readonly #head: string;
  readonly #body: Buffer | string | null;
  #connection: Http1Connection | null = null;
  #isOver = false;

  /** Throws for what cannot be written. */
  constructor(request: WholeRequest, handler: ExchangeHandler, host: string) {
    const { method, body } = request;
    const bodyBytes = body === null ? 0 : Buffer.byteLength(body);
    const { text, isLast } = renderRequestHead(request, host, bodyBytes);
    this.isHead = method === 'HEAD';
    this.isLast = isLast;
    this.handler = handler;
    this.#head = text;
    // Of a string that is all ASCII, latin1 makes the same bytes as UTF-8.
    if (typeof body !== 'string' || body.length === bodyBytes) this.#body = bodyBytes === 0 ? null : body;
    else this.#body = Buffer.from(body);
  }

  /** Told to begin; false where it has been given up. */
  begin(): boolean {
    try {
      this.handler.onRequestStart(this);
    } catch (thrown) {
      this.abort(thrown as Error);
    }
    return !this.#isOver;
  }

  /** Goes to a connection which is all its own until {@link finish}. */
  writeTo(connection: Http1Connection): void {
    this.#connection = connection;
    const { socket } = connection;
    const body = this.#body;
    if (body === null) socket.write(this.#head, 'latin1');
    else if (typeof body === 'string') socket.write(this.#head + body, 'latin1');
    else if (body.length <= maxJoinedBytes) socket.write(this.#head + body.toString('latin1'), 'latin1');
    else {
      socket.cork();
      socket.write(this.#head, 'latin1');
      socket.write(body);
      socket.uncork();
    }
  }

  /** It has the answer, or none will come. */
  finish(): void {
    this.#isOver = true;
    this.#connection = null;
  }

  /** It has come to nothing. */
  fail(error: Error): void {
    if (this.#isOver) return;
    this.finish();
    this.handler.onResponseError(this, error);
  }

  pause(): void {
    this.#connection?.socket.pause();
  }

  resume(): void {
    this.#connection?.socket.resume();
  }

  abort(reason: Error): void {
    const connection = this.#connection;
    this.fail(reason);
    connection?.destroy();
  }
}
