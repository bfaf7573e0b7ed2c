/** Takes an answer for the cache: passes it on as it arrives, and keeps a copy of what may be kept. */
import { withoutTagHeaders } from '../policies/answer-tags.ts';
import { type CacheStatus, formatCacheStatus } from '../policies/cache-status.ts';
import type { AnswerHead, StoredHead } from '../policies/http-caching.ts';
import { toHeaderMap } from '../policies/http-headers.ts';
import type { Flow, Receiver } from './call.ts';
import { endToEndResponseHeaders } from './forwarding.ts';

/** An answer that may be given out again. */
export interface KeptAnswer {
  readonly head: StoredHead;
  readonly body: Buffer;
  /** Fields of requests that it depends on. */
  readonly vary: readonly string[];
  /** The key of the request it was made for, by those fields. */
  readonly requestVariant: string;
  readonly keepMs: number;
}

/** Copies in the making, of all answers of a process. */
export interface Collecting {
  sizeBytes: number;
  readonly maxBytes: number;
}

export interface CachedReceiverOptions {
  readonly target: Receiver;
  readonly collecting: Collecting;
  readonly maxBodyBytes: number;
  /** Whether the client gets no tags of the service. */
  readonly hidesTags: boolean;
  /** Whether the request carries validators of ours, so that a 304 is for us. */
  readonly validates: boolean;
  /** Whether there is something to give out in place of a failure. */
  readonly hidesFailures: boolean;
  /** What to keep of an answer; null for nothing. */
  readonly judge: (head: AnswerHead) => Omit<KeptAnswer, 'body'> | null;
  readonly status: (stored: boolean, code: number) => CacheStatus;
  /** What was to be kept turned out too large. */
  readonly onDropped: () => void;
}

/** How much is read of an answer that is hidden, to keep its connection. */
const maxHiddenBytes = 65_536;
/** RFC 5861 section 4. */
const failures: ReadonlySet<number> = new Set([500, 502, 503, 504]);

export class CachedReceiver implements Receiver {
  readonly #options: CachedReceiverOptions;
  /** Nothing yet; passing the answer on; the answer is a 304 for us; the answer is a failure that is hidden. */
  state: 'waiting' | 'passing' | 'validated' | 'set aside' = 'waiting';
  status = 0;
  rawHeaders: readonly string[] = [];
  /** The answer, when it has ended whole and may be kept. */
  kept: KeptAnswer | null = null;
  #collected: { readonly answer: Omit<KeptAnswer, 'body'>; readonly chunks: Buffer[]; sizeBytes: number } | null = null;
  #hiddenBytes = 0;
  #flow: Flow | null = null;

  constructor(options: CachedReceiverOptions) {
    this.#options = options;
  }

  /** To whom the service was asked for, before it is known whose the answer is: those who joined get none of it. */
  onInterim(status: number, rawHeaders: readonly string[]): void {
    this.#options.target.onInterim?.(status, rawHeaders);
  }

  onHead(status: number, received: readonly string[], flow: Flow): void {
    const { target, validates, hidesFailures, hidesTags, judge } = this.#options;
    this.status = status;
    this.rawHeaders = endToEndResponseHeaders(received);
    this.#flow = flow;
    if (validates && status === 304) this.state = 'validated';
    else if (hidesFailures && failures.has(status)) this.state = 'set aside';
    else {
      this.state = 'passing';
      const fits = this.#fits(status, received);
      const answer = fits ? judge({ status, rawHeaders: this.rawHeaders }) : null;
      if (!fits) this.#options.onDropped();
      if (answer !== null) this.#collected = { answer, chunks: [], sizeBytes: 0 };
      const cacheStatus = formatCacheStatus(this.#options.status(answer !== null, status));
      const visible = hidesTags ? withoutTagHeaders(received) : received;
      target.onHead(status, [...visible, 'cache-status', cacheStatus], flow);
    }
  }

  onData(chunk: Buffer): boolean {
    if (this.state === 'passing') {
      this.#collect(chunk);
      return this.#options.target.onData(chunk);
    }
    this.#hiddenBytes += chunk.length;
    if (this.#hiddenBytes > maxHiddenBytes) this.#flow?.abort(new Error('not worth reading on'));
    return true;
  }

  onEnd(trailers: readonly string[]): void {
    if (this.state !== 'passing') return;
    if (this.#collected !== null) {
      const { answer, chunks } = this.#collected;
      // A copy in any case: the pieces are views of larger buffers of the connection.
      this.kept = { ...answer, body: Buffer.concat(chunks) };
    }
    this.release();
    this.#options.target.onEnd(trailers);
  }

  /** Gives back what the copy in the making takes. */
  release(): void {
    if (this.#collected === null) return;
    this.#options.collecting.sizeBytes -= this.#collected.sizeBytes;
    this.#collected = null;
  }

  /** Also: whether its end can be told from a connection that broke (RFC 9111 section 3.3). */
  #fits(status: number, received: readonly string[]): boolean {
    const { 'content-length': length, 'transfer-encoding': coding } = toHeaderMap(received);
    if (length === undefined) return coding !== undefined || status === 204 || status === 304;
    return Number(length) <= this.#options.maxBodyBytes;
  }

  #collect(chunk: Buffer): void {
    const collected = this.#collected;
    if (collected === null) return;
    const { collecting, maxBodyBytes, onDropped } = this.#options;
    const isTooMuch =
      collected.sizeBytes + chunk.length > maxBodyBytes || collecting.sizeBytes + chunk.length > collecting.maxBytes;
    if (isTooMuch) {
      this.release();
      onDropped();
      return;
    }
    collected.chunks.push(chunk);
    collected.sizeBytes += chunk.length;
    collecting.sizeBytes += chunk.length;
  }
}
