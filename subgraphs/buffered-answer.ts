/** An answer that is wanted whole: a receiver that collects it, up to a size. */
import { GatewayError } from '../policies/errors.ts';
import type { Flow, Receiver } from './call.ts';

/**
 * ```ts
 * const answer = new BufferedAnswer(maxBytes);
 * await call({ ..., bodyByDeadline: true, receiver: answer });
 * answer.status, answer.header('content-type'), answer.body
 * ```
 */
export class BufferedAnswer implements Receiver {
  /** 0 until the head is there. */
  status = 0;
  rawHeaders: readonly string[] = [];
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #sizeBytes = 0;
  #flow: Flow | null = null;

  /** The call rejects with DOWNSTREAM_SERVICE_ERROR when the body is longer than `maxBytes`. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Value of the first field of that name (in lower case), or undefined. */
  header(lowerCaseName: string): string | undefined {
    for (let i = 0; i + 1 < this.rawHeaders.length; i += 2) {
      if (this.rawHeaders[i]?.toLowerCase() === lowerCaseName) return this.rawHeaders[i + 1];
    }
    return undefined;
  }

  get body(): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const whole = Buffer.concat(this.#chunks, this.#sizeBytes);
    this.#chunks = [whole];
    return whole;
  }

  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void {
    this.status = status;
    this.rawHeaders = rawHeaders;
    this.#flow = flow;
    // A HEAD answer may announce a length it does not send; nobody buffers those.
    if (Number(this.header('content-length') ?? 0) > this.#maxBytes) this.#giveUp();
  }

  onData(chunk: Buffer): boolean {
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes > this.#maxBytes) this.#giveUp();
    else this.#chunks.push(chunk);
    return true;
  }

  onEnd(): void {}

  hasErrorCode(codes: ReadonlySet<string>): boolean {
    // Most answers have no errors, and are not parsed for this.
    return this.body.includes('"errors"') && listErrorCodes(this.body).some((code) => codes.has(code));
  }

  #giveUp(): void {
    this.#chunks = [];
    this.#sizeBytes = 0;
    this.#flow?.abort(new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'The answer of the service is too large'));
  }
}

function listErrorCodes(body: Buffer): string[] {
  try {
    const { errors }: { errors?: unknown } = JSON.parse(body.toString('utf8')) ?? {};
    if (!Array.isArray(errors)) return [];
    return errors.map((error: { extensions?: { code?: unknown } } | null) => String(error?.extensions?.code));
  } catch {
    // No JSON: whoever reads the answer finds out.
    return [];
  }
}
