/** An answer that is changed before anybody sees it: a receiver that collects the body, changes it, and passes it on. */
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import { GatewayError } from '../policies/errors.ts';
import { filterHeaders, toHeaderMap } from '../policies/http-headers.ts';
import type { AnswerTransform } from '../policies/transform.ts';
import type { Flow, Receiver } from './call.ts';

export interface TransformedAnswerOptions {
  readonly transform: AnswerTransform;
  readonly maxBytes: number;
  readonly service: string;
  readonly method: string;
  /** What expressions see beside the answer. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** What told of the body as it was (RFC 9110 section 8, RFC 9530, RFC 1864). */
const ofOldBody: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-digest',
  'repr-digest',
  'digest',
  'content-md5',
  'etag',
  'accept-ranges',
  'trailer',
]);

/** The fields that hold for another body as well. */
export function withoutBodyFields(rawHeaders: readonly string[]): string[] {
  return filterHeaders(rawHeaders, (name) => !ofOldBody.has(name));
}

export class TransformedAnswer implements Receiver {
  readonly #options: TransformedAnswerOptions;
  readonly #target: Receiver;
  #state: 'passing' | 'collecting' | 'over' = 'passing';
  #status = 0;
  #headers: readonly string[] = [];
  #chunks: Buffer[] = [];
  #sizeBytes = 0;
  #flow: Flow | null = null;

  constructor(options: TransformedAnswerOptions, target: Receiver) {
    this.#options = options;
    this.#target = target;
  }

  onInterim(status: number, rawHeaders: readonly string[]): void {
    this.#target.onInterim?.(status, rawHeaders);
  }

  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void {
    this.#status = status;
    this.#headers = rawHeaders;
    this.#flow = flow;
    const fields = toHeaderMap(rawHeaders);
    const plan = this.#plan(status, fields);
    if (plan === 'collect') this.#collect(status, fields);
    else this.#target.onHead(plan.status, plan.headers, flow);
  }

  /** What is known when the head is there: the head that goes on, or that the body is needed. */
  #plan(
    status: number,
    fields: Record<string, string>,
  ): 'collect' | { readonly status: number; readonly headers: readonly string[] } {
    const { transform, method } = this.#options;
    const headers = this.#headers;
    // Its validator is of a body that no client has seen.
    if (status === 304) return { status, headers: transform.keepsBody ? headers : withoutBodyFields(headers) };
    const isMeant = transform.body.takes(fields['content-type']) && status !== 204 && status !== 205;
    const verdict = isMeant ? this.#whenHead(fields) : false;
    if (verdict === false) return { status, headers };
    const newStatus = verdict === true ? (transform.status ?? status) : status;
    if (verdict === true && transform.keepsBody) return { status: newStatus, headers };
    // Whether the body would be changed cannot be known, so nothing is said of it.
    return method === 'HEAD' ? { status: newStatus, headers: withoutBodyFields(headers) } : 'collect';
  }

  #collect(status: number, fields: Record<string, string>): void {
    this.#state = 'collecting';
    // A part of a body cannot be changed like the whole; nobody asked for one.
    if (status === 206) this.#fail('The service answered with a part of a body, which cannot be changed');
    else if (Number(fields['content-length'] ?? 0) > this.#options.maxBytes) this.#failTooLarge();
  }

  onData(chunk: Buffer): boolean {
    if (this.#state === 'passing') return this.#target.onData(chunk);
    if (this.#state === 'over') return true;
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes > this.#options.maxBytes) this.#failTooLarge();
    else this.#chunks.push(chunk);
    return true;
  }

  onEnd(trailers: readonly string[]): void {
    if (this.#state === 'passing') this.#target.onEnd(trailers);
    if (this.#state !== 'collecting') return;
    this.#state = 'over';
    const received = Buffer.concat(this.#chunks);
    this.#chunks = [];
    const changed = this.#change(received);
    if (changed === null) this.#pass(this.#status, this.#headers, received, trailers);
    // What trailers tell of the body as it was (RFC 9530) does not hold for the new one.
    else this.#pass(changed.status, changed.headers, changed.body, []);
  }

  #pass(status: number, headers: readonly string[], body: Buffer, trailers: readonly string[]): void {
    this.#target.onHead(status, headers, this.#flow ?? { resume: () => {}, abort: () => {} });
    if (body.length > 0) this.#target.onData(body);
    this.#target.onEnd(trailers);
  }

  /** Null where the answer stays as it is. Whatever goes wrong is no reason to pass on what was to be changed. */
  #change(received: Buffer): { status: number; headers: readonly string[]; body: Buffer } | null {
    const { transform, facts, maxBytes } = this.#options;
    const fields = toHeaderMap(this.#headers);
    try {
      const value = transform.body.parse(decodeBody(received, fields['content-encoding'], maxBytes));
      const variables = { ...facts, status: BigInt(this.#status), headers: fields };
      if (!transform.whenBody(value, variables)) return null;
      const status = transform.status ?? this.#status;
      if (transform.keepsBody) return { status, headers: this.#headers, body: received };
      const made = transform.body.apply(value, variables);
      const others = withoutBodyFields(this.#headers);
      const headers =
        made.contentType === undefined ? others : filterHeaders(others, (name) => name !== 'content-type');
      if (made.contentType !== undefined) headers.push('content-type', made.contentType);
      return { status, headers: [...headers, 'content-length', String(made.body.length)], body: made.body };
    } catch (cause) {
      throw this.#failure('The answer of the service cannot be changed as its route asks for', cause);
    }
  }

  /** As {@link AnswerTransform.whenHead}; an expression without a value passes nothing on. */
  #whenHead(fields: Record<string, string>): boolean | undefined {
    const { transform, facts } = this.#options;
    try {
      return transform.whenHead({ ...facts, status: BigInt(this.#status), headers: fields });
    } catch (cause) {
      throw this.#failure('The answer of the service cannot be changed as its route asks for', cause);
    }
  }

  #failTooLarge(): void {
    this.#fail('The answer of the service is too large to be changed');
  }

  #fail(message: string): void {
    this.#state = 'over';
    this.#chunks = [];
    this.#flow?.abort(this.#failure(message, undefined));
  }

  #failure(message: string, cause: unknown): GatewayError {
    return new GatewayError('DOWNSTREAM_SERVICE_ERROR', message, { service: this.#options.service, cause });
  }
}

/** The service was asked for none, but may have sent one. What grows over the limit throws. */
export function decodeBody(body: Buffer, coding: string | undefined, maxBytes: number): Buffer {
  const options = { maxOutputLength: maxBytes };
  switch (coding?.trim().toLowerCase() ?? 'identity') {
    case 'identity':
    case '':
      return body;
    case 'gzip':
    case 'x-gzip':
      return gunzipSync(body, options);
    case 'deflate':
      return inflateSync(body, options);
    case 'br':
      return brotliDecompressSync(body, options);
    case 'zstd':
      return zstdDecompressSync(body, options);
    default:
      throw new Error(`the coding ${coding} is not known`);
  }
}
