/** Request bodies, counted while they are read: what is too large is refused before it is in memory. */
import type { IncomingMessage } from 'node:http';
import { Transform, type TransformCallback } from 'node:stream';
import { GatewayError } from '../policies/errors.ts';
import type { ByteMeter } from '../policies/rate-limit-bytes.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { PlainRequest } from './plain-messages.ts';

/**
 * The whole body. Throws PAYLOAD_TOO_LARGE as soon as it is known to be larger than `maxBytes`, REQUEST_TIMEOUT when it is
 * not there before the deadline, and CLIENT_CLOSED_REQUEST when the client breaks off. What the client takes to send it is not
 * the services' time: the deadline moves by as much.
 */
export async function readBody(
  request: IncomingMessage,
  maxBytes: number,
  context: Pick<RequestContext, 'deadlineAtMs'>,
): Promise<Buffer> {
  assertDeclaredLength(request, maxBytes);
  if (request instanceof PlainRequest) return request.wholeBody ?? Buffer.alloc(0);
  const beganAtMs = performance.now();
  const chunks: Buffer[] = [];
  let size = 0;
  let timer: NodeJS.Timeout | undefined;
  const whole = new Promise<Buffer>((resolve, reject) => {
    timer = setTimeout(() => reject(tooLate()), context.deadlineAtMs - beganAtMs);
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) {
        request.removeAllListeners('data').pause();
        reject(tooLarge(maxBytes));
      } else chunks.push(chunk);
    });
    request.once('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    request.once('error', (cause) => reject(brokenOff(cause)));
    request.once('close', () => {
      if (!request.complete) reject(brokenOff(undefined));
    });
  });
  return whole.finally(() => {
    clearTimeout(timer);
    context.deadlineAtMs += performance.now() - beganAtMs;
  });
}

/**
 * The body as it goes on: a stream that fails with PAYLOAD_TOO_LARGE after `maxBytes`, or all of it where it is here already;
 * null when the request has none. Metered on its way.
 */
export function limitBody(
  request: IncomingMessage,
  maxBytes: number,
  meter?: ByteMeter | undefined,
): IncomingMessage | ByteLimit | Buffer | null {
  if (assertDeclaredLength(request, maxBytes)) {
    if (request instanceof PlainRequest && request.wholeBody !== null) {
      meter?.passRequest(request.wholeBody.length);
      return request.wholeBody;
    }
    if (meter === undefined) return request;
  } else if (request.headers['transfer-encoding'] === undefined) return null;
  const limited = new ByteLimit(maxBytes, meter);
  // Whoever reads it gets the error from the stream; if nobody does any more, it concerns nobody.
  limited.on('error', () => {});
  // `pipe` does not pass on a client that breaks off; without this the service would wait for the rest.
  request.once('close', () => {
    if (!request.complete) limited.destroy(brokenOff(undefined));
  });
  return request.pipe(limited);
}

/**
 * Whether something of the request is still to come. (`complete` alone is not enough: Node sets it a moment after it
 * hands out a request without a body.)
 */
export function isUnread({ complete, headers }: IncomingMessage): boolean {
  return !complete && (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0');
}

/** Whether a body of known length follows; throws when the length says already that it is too large. */
function assertDeclaredLength(request: IncomingMessage, maxBytes: number): boolean {
  const declared = request.headers['content-length'];
  if (declared === undefined || declared === '0') return false;
  if (Number(declared) > maxBytes) throw tooLarge(maxBytes);
  return true;
}

class ByteLimit extends Transform {
  readonly #maxBytes: number;
  readonly #meter: ByteMeter | undefined;
  #size = 0;

  constructor(maxBytes: number, meter: ByteMeter | undefined) {
    super();
    this.#maxBytes = maxBytes;
    this.#meter = meter;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#size += chunk.length;
    this.#meter?.passRequest(chunk.length);
    if (this.#size > this.#maxBytes) done(tooLarge(this.#maxBytes));
    else done(null, chunk);
  }
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes`);
}

function tooLate(): GatewayError {
  return new GatewayError('REQUEST_TIMEOUT', 'The body of the request did not arrive in time');
}

function brokenOff(cause: unknown): GatewayError {
  return new GatewayError('CLIENT_CLOSED_REQUEST', 'The client broke off its request', { cause });
}
