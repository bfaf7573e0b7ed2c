/** Requests and answers of connections that the gateway reads itself, as the doors know them from Node. */
import { EventEmitter } from 'node:events';
import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type HttpDate, PlainAnswerHead } from './plain-answer-head.ts';
import type { PlainHead } from './plain-head.ts';

/** A request that was there as a whole when its head was read. */
export class PlainRequest extends IncomingMessage {
  /** Null for none. */
  readonly wholeBody: Buffer | null;

  constructor(socket: Socket, head: PlainHead) {
    super(socket);
    this.method = head.method;
    this.url = head.url;
    this.httpVersion = '1.1';
    this.httpVersionMajor = 1;
    this.httpVersionMinor = 1;
    this.rawHeaders = head.rawHeaders;
    this.headers = head.headers;
    this.complete = true;
    this.wholeBody = head.body;
  }

  override _read(): void {
    if (this.wholeBody !== null) this.push(this.wholeBody);
    this.push(null);
  }
}

/** Bodies up to this size are joined with the head in one string: that is one write, and a buffer beside it is two. */
const maxJoinedBytes = 4_096;
const lastChunk = '0\r\n';

/** What an answer needs of its connection. */
export interface PlainCarrier {
  readonly socket: Socket;
  /** Seconds that the connection is kept for another request, as the client is told; 0: for ever. */
  readonly keepAliveSeconds: number;
  readonly date: HttpDate;
  /** For every write; told to the answer by {@link PlainResponse.noteWritten}. */
  readonly onWritten: (error?: Error | null) => void;
  /** The answer has ended, and all of it has left. */
  finish(): void;
}

/** The part of Node's ServerResponse that the doors use, over one connection that carries one answer at a time. */
export class PlainResponse extends EventEmitter {
  readonly req: PlainRequest;
  readonly socket: Socket;
  statusCode = 200;
  shouldKeepAlive: boolean;
  headersSent = false;
  writableEnded = false;
  /** Whether all of it has left. */
  writableFinished = false;
  /** Whether nothing more can be said. */
  closed = false;
  destroyed = false;
  readonly #carrier: PlainCarrier;
  /** What is to be written before anything else; null where there is nothing (left). */
  #head: PlainAnswerHead | null = null;
  #isChunked = false;
  #hasBody = true;
  /** Writes that have not left yet. */
  #pending = 0;
  #trailers = '';

  constructor(carrier: PlainCarrier, request: PlainRequest, keepsAlive: boolean) {
    super();
    this.#carrier = carrier;
    this.req = request;
    this.socket = carrier.socket;
    this.shouldKeepAlive = keepsAlive;
  }

  get writableLength(): number {
    return this.socket.writableLength;
  }

  /** @param headers names and values in turn */
  writeHead(status: number, headers: readonly string[]): this {
    if (this.headersSent) throw Object.assign(new Error('The head is out already'), { code: 'ERR_HTTP_HEADERS_SENT' });
    this.#head = new PlainAnswerHead(status, headers);
    this.statusCode = status;
    this.headersSent = true;
    this.#hasBody = this.req.method !== 'HEAD' && status !== 204 && status !== 304;
    return this;
  }

  /** RFC 9110 section 15.2. @param headers names and values in turn */
  writeInformation(status: number, headers: readonly string[] = []): boolean {
    if (this.headersSent || this.closed) return false;
    this.#send(new PlainAnswerHead(status, headers).renderInterim(), 'latin1');
    return true;
  }

  flushHeaders(): void {
    if (this.#head !== null) this.#send(this.#takeHead(null), 'latin1');
  }

  /** False asks to wait for `drain`. */
  write(piece: string | Buffer, encoding: BufferEncoding = 'utf8'): boolean {
    if (this.closed || this.writableEnded) return false;
    return this.#write(piece, encoding);
  }

  /** Fields after a body without a length. @param trailers pairs of name and value */
  addTrailers(trailers: readonly (readonly [string, string])[]): void {
    const lines = new PlainAnswerHead(200, trailers.flat());
    this.#trailers += lines.fields;
  }

  end(piece?: string | Buffer, encoding: BufferEncoding = 'utf8'): this {
    if (this.closed || this.writableEnded) return this;
    const last = piece === undefined || piece.length === 0 ? null : piece;
    if (!this.headersSent) this.writeHead(this.statusCode, []);
    // Trailers have a place behind chunks only.
    const length = this.#trailers !== '' ? null : last === null ? 0 : Buffer.byteLength(last, encoding);
    if (this.#head !== null && (last === null || !this.#hasBody)) {
      this.#send(this.#takeHead(length), 'latin1');
    } else if (last !== null) this.#write(last, encoding, length);
    if (this.#isChunked && this.#hasBody) this.#send(`${lastChunk}${this.#trailers}\r\n`, 'latin1');
    this.writableEnded = true;
    // Not before whoever ends it has done what it does after that.
    if (this.#pending === 0) process.nextTick(finish, this);
    return this;
  }

  /** One write has left. */
  noteWritten(): void {
    this.#pending--;
    if (this.writableEnded && this.#pending === 0) this.finish();
  }

  /** Cuts the answer, and with it the connection. */
  destroy(): this {
    if (!this.closed) this.socket.destroy();
    return this;
  }

  /** The connection is gone. */
  lose(): void {
    if (this.closed) return;
    this.destroyed = true;
    this.closed = true;
    this.emit('close');
  }

  /** All of it has left. */
  finish(): void {
    if (this.closed) return;
    this.writableFinished = true;
    this.closed = true;
    this.emit('close');
    this.#carrier.finish();
  }

  /** @param whole the length of the body, if this is all of it */
  #write(piece: string | Buffer, encoding: BufferEncoding, whole: number | null = null): boolean {
    if (this.#head === null && !this.headersSent) this.writeHead(this.statusCode, []);
    const head = this.#head === null ? '' : this.#takeHead(whole);
    if (!this.#hasBody) return head === '' ? true : this.#send(head, 'latin1');
    if (this.#isChunked) return this.#writeChunk(head, piece, encoding);
    if (head === '') return this.#send(piece, encoding);
    return this.#writeBehind(head, piece, encoding);
  }

  #writeChunk(head: string, piece: string | Buffer, encoding: BufferEncoding): boolean {
    const bytes = typeof piece === 'string' ? Buffer.from(piece, encoding) : piece;
    if (bytes.length === 0) return head === '' ? true : this.#send(head, 'latin1');
    const size = `${head}${bytes.length.toString(16)}\r\n`;
    if (bytes.length <= maxJoinedBytes) return this.#send(`${size}${bytes.toString('latin1')}\r\n`, 'latin1');
    this.socket.cork();
    this.#send(size, 'latin1');
    this.#send(bytes, 'latin1');
    const goesOn = this.#send('\r\n', 'latin1');
    this.socket.uncork();
    return goesOn;
  }

  #writeBehind(head: string, piece: string | Buffer, encoding: BufferEncoding): boolean {
    if (typeof piece === 'string' && encoding === 'latin1') return this.#send(head + piece, 'latin1');
    const bytes = typeof piece === 'string' ? Buffer.from(piece, encoding) : piece;
    if (bytes.length <= maxJoinedBytes) return this.#send(head + bytes.toString('latin1'), 'latin1');
    this.socket.cork();
    this.#send(head, 'latin1');
    const goesOn = this.#send(bytes, 'latin1');
    this.socket.uncork();
    return goesOn;
  }

  #send(piece: string | Buffer, encoding: BufferEncoding): boolean {
    this.#pending++;
    return this.socket.write(piece as string, encoding, this.#carrier.onWritten);
  }

  /** @param length of the whole body, if it is known */
  #takeHead(length: number | null): string {
    const head = this.#head;
    this.#head = null;
    if (head === null) return '';
    const keepAlive = this.shouldKeepAlive ? this.#carrier.keepAliveSeconds : null;
    const rendered = head.render({ keepAlive, hasBody: this.#hasBody, length, date: this.#carrier.date.text });
    this.#isChunked = rendered.isChunked;
    if (!rendered.keepsAlive) this.shouldKeepAlive = false;
    return rendered.text;
  }
}

function finish(response: PlainResponse): void {
  response.finish();
}
