/** Reads the answers on an HTTP/1.1 connection. Whatever pieces the bytes come in, what is told of them is the same. */
import { errors } from 'undici';
import { AnswerFault, type AnswerHead, assertLines, parseAnswerHead, parseFields } from './http1-answer-head.ts';

/** Hears what an answer is made of. It may call {@link AnswerParser.stop} in between. */
export interface AnswerSink {
  /** Of the answer, or one before it (102 and what else is not 100). */
  onHead(head: AnswerHead): void;
  onBody(chunk: Buffer): void;
  /** `isClean`: nothing stands behind the answer in what was read with it. */
  onEnd(rawTrailers: string[], isClean: boolean): void;
}

/** Of a head; of trailers. As Node has it. */
const maxHeadBytes = 16_384;
/** Of a chunk's size and what may be said about the chunk. */
const maxSizeLineBytes = 1_024;
/** Before an answer, those that nobody hears of included. */
const maxInterims = 100;
const headEnd = Buffer.from('\r\n\r\n');
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const quoted = '"(?:[\\t !#-[\\]-~\\x80-\\xff]|\\\\[\\t -~\\x80-\\xff])*"';
/** RFC 9112 section 7.1. Sizes beyond are no exact numbers any more. */
const sizeLine = new RegExp(`^([0-9a-fA-F]{1,13})(?:;${token}(?:=(?:${token}|${quoted}))?)*$`);

export class AnswerParser {
  readonly #sink: AnswerSink;
  #state: 'head' | 'sized' | 'until close' | 'chunk size' | 'chunk' | 'chunk end' | 'trailers' | 'over' = 'over';
  #isHead = false;
  #interims = 0;
  /** Of a head, a line or trailers: what there is of it so far. */
  #held = '';
  /** Of the body, or of a chunk: what is still to come. */
  #leftBytes = 0;

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  /** An answer is expected. `isHead`: to a HEAD. */
  begin(isHead: boolean): void {
    this.#state = 'head';
    this.#isHead = isHead;
    this.#interims = 0;
    this.#held = '';
  }

  /** Nothing more is told. */
  stop(): void {
    this.#state = 'over';
  }

  /** Throws where the bytes are no answer. */
  parse(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && this.#state !== 'over') {
      switch (this.#state) {
        case 'head':
          at = this.#parseHead(chunk, at);
          break;
        case 'sized':
        case 'chunk':
          at = this.#passBody(chunk, at);
          break;
        case 'until close':
          this.#sink.onBody(at === 0 ? chunk : chunk.subarray(at));
          return;
        case 'chunk size':
          at = this.#parseSize(chunk, at);
          break;
        case 'chunk end':
          at = this.#parseChunkEnd(chunk, at);
          break;
        case 'trailers':
          at = this.#parseTrailers(chunk, at);
      }
    }
  }

  /** The service has ended the connection. Whether the answer is whole by that. */
  finish(): boolean {
    if (this.#state !== 'until close') return false;
    this.#end([], false);
    return true;
  }

  #parseHead(chunk: Buffer, start: number): number {
    if (this.#held !== '') return this.#parseRestOfHead(chunk, start);
    const found = chunk.indexOf(headEnd, start);
    if (found === -1) {
      this.#holdHead(chunk.toString('latin1', start));
      return chunk.length;
    }
    if (found + headEnd.length - start > maxHeadBytes) throw new errors.HeadersOverflowError();
    const next = found + headEnd.length;
    this.#takeHead(chunk.toString('latin1', start, found), next === chunk.length);
    return next;
  }

  #parseRestOfHead(chunk: Buffer, start: number): number {
    const before = this.#held.length;
    // More of the chunk than a head may be long is not looked at.
    const text = this.#held + chunk.toString('latin1', start, start + maxHeadBytes);
    const found = text.indexOf('\r\n\r\n', Math.max(0, before - 3));
    if (found === -1) {
      this.#holdHead(text);
      return chunk.length;
    }
    const next = found + headEnd.length;
    if (next > maxHeadBytes) throw new errors.HeadersOverflowError();
    this.#held = '';
    const at = start + next - before;
    this.#takeHead(text.slice(0, found), at === chunk.length);
    return at;
  }

  /** What cannot become a head any more is not waited for. */
  #holdHead(text: string): void {
    if (text.length >= maxHeadBytes) throw new errors.HeadersOverflowError();
    const isStart = text.length < 7 ? 'HTTP/1.'.startsWith(text) : text.startsWith('HTTP/1.');
    if (!isStart) throw new AnswerFault('the status line');
    assertLines(text.endsWith('\r') ? text.slice(0, -1) : text);
    this.#held = text;
  }

  #takeHead(text: string, isClean: boolean): void {
    const head = parseAnswerHead(text, this.#isHead);
    if (head.status < 200) {
      this.#takeInterim(head);
      return;
    }
    if (head.length === 'chunked') this.#state = 'chunk size';
    else if (head.length === 'close') this.#state = 'until close';
    else {
      this.#state = 'sized';
      this.#leftBytes = head.length;
    }
    this.#sink.onHead(head);
    if (this.#state === 'sized' && this.#leftBytes === 0) this.#end([], isClean);
  }

  #takeInterim(head: AnswerHead): void {
    // Some servers send a 100 before every answer to a POST; a client may ignore those (RFC 9110 section 15.2).
    if (head.status === 101) throw new errors.SocketError('an upgrade nobody asked for');
    if (++this.#interims > maxInterims) throw new AnswerFault('more interim answers than make sense');
    if (head.status !== 100) this.#sink.onHead(head);
  }

  #passBody(chunk: Buffer, start: number): number {
    const end = Math.min(chunk.length, start + this.#leftBytes);
    this.#leftBytes -= end - start;
    this.#sink.onBody(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end));
    if (this.#leftBytes === 0) {
      if (this.#state === 'sized') this.#end([], end === chunk.length);
      else if (this.#state === 'chunk') this.#state = 'chunk end';
    }
    return end;
  }

  #parseSize(chunk: Buffer, start: number): number {
    const next = this.#readLine(chunk, start, maxSizeLineBytes);
    if (next === -1) {
      if (!/^[0-9a-fA-F]*(?:$|[;\r])/.test(this.#held)) throw new AnswerFault('the size of a chunk');
      return chunk.length;
    }
    const [, size] = sizeLine.exec(this.#takeLine()) ?? [];
    if (size === undefined) throw new AnswerFault('the size of a chunk');
    this.#leftBytes = Number.parseInt(size, 16);
    this.#state = this.#leftBytes === 0 ? 'trailers' : 'chunk';
    return next;
  }

  #parseChunkEnd(chunk: Buffer, start: number): number {
    const next = this.#readLine(chunk, start, 2);
    if (next === -1) return chunk.length;
    if (this.#takeLine() !== '') throw new AnswerFault('the end of a chunk');
    this.#state = 'chunk size';
    return next;
  }

  #parseTrailers(chunk: Buffer, start: number): number {
    let at = start;
    for (;;) {
      const lineStart = this.#held.lastIndexOf('\n') + 1;
      at = this.#readLine(chunk, at, maxHeadBytes);
      if (at === -1) return chunk.length;
      if (this.#held.length - lineStart === 2) break;
    }
    // Those before the empty line.
    const lines = this.#held.slice(0, -2);
    assertLines(lines);
    const rawTrailers: string[] = [];
    parseFields(lines, 0, rawTrailers);
    this.#held = '';
    this.#end(rawTrailers, at === chunk.length);
    return at;
  }

  /** Adds a line to what is held, with its break; -1 where its end has not come yet. */
  #readLine(chunk: Buffer, start: number, maxBytes: number): number {
    const found = chunk.indexOf(10, start);
    const end = found === -1 ? chunk.length : found + 1;
    if (this.#held.length + end - start > maxBytes) throw new AnswerFault('a line that is too long');
    this.#held += chunk.toString('latin1', start, end);
    if (found === -1) return -1;
    if (!this.#held.endsWith('\r\n')) throw new AnswerFault('a line break that is only half of one');
    return end;
  }

  #takeLine(): string {
    const line = this.#held.slice(0, -2);
    this.#held = '';
    return line;
  }

  #end(rawTrailers: string[], isClean: boolean): void {
    this.#state = 'over';
    this.#sink.onEnd(rawTrailers, isClean);
  }
}
