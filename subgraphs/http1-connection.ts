/** One HTTP/1.1 connection to an instance: one exchange at a time. */
import type { Socket } from 'node:net';
import { errors } from 'undici';
import type { AnswerHead } from './http1-answer-head.ts';
import { AnswerParser, type AnswerSink } from './http1-answer-parser.ts';
import type { Http1Exchange } from './http1-exchange.ts';

/** What a pool knows of its connections. */
export interface ConnectionOwner {
  /** It is free for another exchange. */
  onFree(connection: Http1Connection): void;
  /** It takes nothing any more. */
  onGone(connection: Http1Connection): void;
}

/** Smaller pieces may share their memory with others, and are not worth it. */
const leastFreedBytes = 16_384;

export class Http1Connection implements AnswerSink {
  readonly socket: Socket;
  readonly bornAtMs: number;
  /** How long the service waits for a request, by the last answer. */
  keepAliveSeconds: number | undefined;
  /** For the pool: until when it may be taken while it is idle. */
  idleUntilMs = 0;
  readonly #owner: ConnectionOwner;
  readonly #parser = new AnswerParser(this);
  #exchange: Http1Exchange | null = null;
  #keepAlive = false;
  #isGone = false;
  #error: Error | null = null;

  constructor(socket: Socket, owner: ConnectionOwner, bornAtMs: number) {
    this.socket = socket;
    this.#owner = owner;
    this.bornAtMs = bornAtMs;
    // Whoever waits for an answer has a timer that runs: idle connections keep no process alive.
    socket.unref();
    socket
      .on('data', (chunk: Buffer) => this.#onData(chunk))
      .on('end', () => this.#onEnd())
      .on('error', (error) => {
        this.#error = error;
      })
      .on('close', () => this.#lose(this.#error ?? new errors.SocketError('closed')));
  }

  /** Sends the request of an exchange that has begun. */
  carry(exchange: Http1Exchange): void {
    this.#exchange = exchange;
    this.#parser.begin(exchange.isHead);
    exchange.writeTo(this);
  }

  /** Cut at once. An exchange on it hears of that. */
  destroy(error: Error = new errors.SocketError('destroyed')): void {
    this.#lose(error);
  }

  onHead(head: AnswerHead): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (head.status >= 200) {
      this.#keepAlive = head.keepAlive && !exchange.isLast;
      this.keepAliveSeconds = head.keepAliveSeconds;
    }
    exchange.handler.onResponseStart(exchange, head.status, head.rawHeaders);
  }

  onBody(chunk: Buffer): void {
    const exchange = this.#exchange;
    exchange?.handler.onResponseData(exchange, chunk);
  }

  onEnd(rawTrailers: string[], isClean: boolean): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    this.#exchange = null;
    exchange.finish();
    // What stands behind an answer is nobody's, and what was not read of a request may be taken for the next one's.
    if (this.#keepAlive && isClean && this.socket.writableLength === 0) this.#free();
    else this.#lose(new errors.SocketError('done'));
    exchange.handler.onResponseEnd(exchange, rawTrailers);
  }

  #free(): void {
    // The last exchange may have paused it behind its last byte.
    if (this.socket.isPaused()) this.socket.resume();
    this.#owner.onFree(this);
  }

  #onData(chunk: Buffer): void {
    // Nobody has asked for anything: it would be taken for the next answer.
    if (this.#exchange === null) this.#lose(new errors.SocketError('bad response'));
    else {
      const { handler } = this.#exchange;
      try {
        this.#parser.parse(chunk);
      } catch (thrown) {
        this.#lose(thrown as Error);
      }
      if (chunk.length >= leastFreedBytes && handler.holdsNothing?.() === true) free(chunk);
    }
  }

  #onEnd(): void {
    if (this.#exchange !== null && this.#parser.finish()) return;
    this.#lose(new errors.SocketError('other side closed'));
  }

  #lose(error: Error): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#parser.stop();
    this.socket.destroy();
    const exchange = this.#exchange;
    this.#exchange = null;
    this.#owner.onGone(this);
    exchange?.fail(error);
  }
}

/**
 * Gives the memory of a piece back at once. The collector would do so much later: until then every piece takes other
 * memory, which no cache of the processor knows. Of large answers that is two thirds of the work.
 */
function free({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
