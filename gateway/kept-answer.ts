/** Answers that are kept for a comparison, up to a size. */
import type { RequestContext } from '../policies/request-context.ts';
import type { Flow, Receiver } from '../subgraphs/call.ts';
import type { ComparedAnswer } from './answer-difference.ts';

/** Takes an answer in. With a limit of 0 nothing of its body is kept. */
export class KeptAnswer implements Receiver {
  #status = 0;
  readonly #headers = new Map<string, string>();
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #isWhole = false;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  onHead(status: number, rawHeaders: readonly string[], _flow?: Flow): void {
    this.#status = status;
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      this.#headers.set((rawHeaders[i] ?? '').toLowerCase(), rawHeaders[i + 1] ?? '');
    }
  }

  onData(chunk: Buffer): boolean {
    this.#size += chunk.length;
    if (this.#size <= this.#maxBytes) this.#chunks.push(chunk);
    else this.#chunks.length = 0;
    return true;
  }

  onEnd(): void {
    this.#isWhole = true;
  }

  /** Null where not all of it is there, or is not there as it is. */
  toCompared(): ComparedAnswer | null {
    const encoding = this.#headers.get('content-encoding') ?? 'identity';
    if (!this.#isWhole || this.#size > this.#maxBytes || encoding !== 'identity') return null;
    return { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#chunks) };
  }
}

/** A receiver that keeps what it passes on. `answer`: null when the request was over before the answer was whole. */
export function watchAnswer(
  receiver: Receiver,
  maxBytes: number,
  context: Pick<RequestContext, 'atEnd'>,
): { readonly receiver: Receiver; readonly answer: Promise<KeptAnswer | null> } {
  const kept = new KeptAnswer(maxBytes);
  const { promise, resolve } = Promise.withResolvers<KeptAnswer | null>();
  context.atEnd(() => resolve(null));
  return {
    answer: promise,
    receiver: {
      onInterim: (status, rawHeaders) => receiver.onInterim?.(status, rawHeaders),
      // Whether there is one makes a difference to a breaker.
      ...(receiver.hasErrorCode !== undefined && { hasErrorCode: (codes) => receiver.hasErrorCode?.(codes) === true }),
      onHead(status, rawHeaders, flow) {
        kept.onHead(status, rawHeaders);
        receiver.onHead(status, rawHeaders, flow);
      },
      onData(chunk) {
        kept.onData(chunk);
        return receiver.onData(chunk);
      },
      onEnd(trailers) {
        kept.onEnd();
        resolve(kept);
        receiver.onEnd(trailers);
      },
    },
  };
}
