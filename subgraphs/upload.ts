/** The body of a request while it goes from a client to an instance. */
import type { Readable } from 'node:stream';

interface Waiter {
  resolve(result: IteratorResult<Buffer, undefined>): void;
  reject(reason: Error): void;
}

/**
 * A stream as undici may have it: an iterator that touches the stream only when the first piece is asked for. undici
 * destroys a stream as soon as an attempt fails, also when no connection could be made and nothing was read; what was
 * not started here can go to the next instance. A piece is read when the socket has room for it, so the client is held
 * back by the service's pace. The stream is never destroyed: it belongs to the door.
 */
export class Upload implements AsyncIterableIterator<Buffer, undefined> {
  readonly #source: Readable;
  readonly #now: () => number;
  #started = false;
  #ended = false;
  #failure: Error | null = null;
  #stopped = false;
  #waiter: Waiter | null = null;
  #startedAtMs = 0;
  #movedAtMs = 0;

  constructor(source: Readable, now: () => number) {
    this.#source = source;
    this.#now = now;
  }

  /** Whether anything was read. If so, the body cannot be sent to another instance. */
  get started(): boolean {
    return this.#started;
  }

  /** Whether it is the client that the next piece is waited for from. */
  get waitsForClient(): boolean {
    return this.#waiter !== null;
  }

  /** When the service last took a piece, or the end. */
  get movedAtMs(): number {
    return this.#movedAtMs;
  }

  /** Whether the service has taken all of it. */
  get ended(): boolean {
    return this.#ended;
  }

  /** How long it has been under way: to the end, or the last piece, but to now while the client is waited for. */
  durationMs(nowMs: number): number {
    return this.#started ? (this.#waiter === null ? this.#movedAtMs : nowMs) - this.#startedAtMs : 0;
  }

  /** Why the stream broke off before its end; null when it did not. */
  get failure(): Error | null {
    return this.#failure;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Buffer, undefined>> {
    if (!this.#started) this.#start();
    this.#movedAtMs = this.#now();
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#stopped) return Promise.reject(new Error('the upload was stopped'));
    const chunk: unknown = this.#source.read();
    if (chunk !== null) return Promise.resolve({ done: false, value: toBuffer(chunk) });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<Buffer, undefined>> {
    this.stop();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Nobody wants the rest. The stream stays as it is; whoever is waiting for a piece gets none. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#started) this.#detach();
    // Rejected rather than ended: an end would make undici finish the message as if it were whole.
    this.#takeWaiter()?.reject(new Error('the upload was stopped'));
  }

  #start(): void {
    this.#started = true;
    this.#startedAtMs = this.#now();
    const source = this.#source;
    if (source.readableEnded) this.#ended = true;
    else if (source.destroyed) this.#failure = source.errored ?? new Error('the body broke off');
    else
      source
        .on('readable', this.#onReadable)
        .on('end', this.#onEnd)
        .on('error', this.#onError)
        .on('close', this.#onClose);
  }

  #detach(): void {
    this.#source
      .off('readable', this.#onReadable)
      .off('end', this.#onEnd)
      .off('close', this.#onClose)
      // An error after this is nobody's concern here, but without a listener it would end the process.
      .off('error', this.#onError)
      .on('error', ignore);
  }

  #fail(reason: Error): void {
    if (this.#ended) return;
    this.#failure ??= reason;
    this.#takeWaiter()?.reject(this.#failure);
  }

  #takeWaiter(): Waiter | null {
    const waiter = this.#waiter;
    this.#waiter = null;
    return waiter;
  }

  readonly #onReadable = (): void => {
    if (this.#waiter === null) return;
    const chunk: unknown = this.#source.read();
    if (chunk === null) return;
    this.#movedAtMs = this.#now();
    this.#takeWaiter()?.resolve({ done: false, value: toBuffer(chunk) });
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#movedAtMs = this.#now();
    this.#takeWaiter()?.resolve({ done: true, value: undefined });
  };

  readonly #onError = (error: Error): void => this.#fail(error);

  /** Closed before its end: the client broke off. A body must never look whole then. */
  readonly #onClose = (): void => this.#fail(new Error('the body broke off'));
}

function toBuffer(chunk: unknown): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk;
  if (typeof chunk === 'string') return Buffer.from(chunk);
  throw new TypeError('the body of a request must be a stream of bytes');
}

function ignore(): void {}
