/** Large files on their way to a client: piece by piece, as fast as the client reads. */
import { GatewayError } from '../policies/errors.ts';
import { CompressedBody } from './compressed-body.ts';
import { isUnchanged, type OpenFile } from './folder-files.ts';
import type { EncodedBody, OwnExchange } from './own-answer.ts';

const pieceBytes = 65_536;

/**
 * Sends the bytes from `first` to `last`. A file that is written to meanwhile cannot be sent whole any more: the connection
 * ends before the last piece, so that nobody keeps a mixture of two contents. (One that is replaced stays what it was.)
 */
export async function streamFile(
  file: OpenFile,
  first: number,
  last: number,
  { response, context }: OwnExchange,
  encoded: EncodedBody | null,
): Promise<void> {
  const body = encoded === null ? new PlainBody(response, context) : new PackedBody(encoded, response, context);
  for (let at = first; at <= last; ) {
    const wanted = Math.min(pieceBytes, last - at + 1);
    // A new one each time: what was written belongs to the connection until it is sent.
    const { bytesRead, buffer } = await file.handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
    const isLast = at + bytesRead > last;
    if (bytesRead === 0 || (isLast && !(await isUnchanged(file)))) {
      throw new GatewayError('INTERNAL_SERVER_ERROR', 'The file changed while it was sent');
    }
    if (context.departure.happened) return;
    if (!body.write(buffer.subarray(0, bytesRead)) && !isLast) await body.drained();
    at += bytesRead;
  }
  body.end();
}

/** The bytes as they are in the file. */
class PlainBody {
  readonly #response: OwnExchange['response'];
  readonly #context: OwnExchange['context'];

  constructor(response: OwnExchange['response'], context: OwnExchange['context']) {
    this.#response = response;
    this.#context = context;
  }

  write(piece: Buffer): boolean {
    this.#context.bodyBytes += piece.length;
    this.#context.meter?.passResponse(piece.length);
    return this.#response.write(piece);
  }

  drained(): Promise<void> {
    return drained(this.#response);
  }

  end(): void {
    this.#context.meter?.settle();
    this.#response.end();
  }
}

/** Compressed on their way. */
class PackedBody {
  readonly #response: OwnExchange['response'];
  readonly #body: CompressedBody;
  #resume: () => void = () => {};

  constructor(encoded: EncodedBody, response: OwnExchange['response'], context: OwnExchange['context']) {
    this.#response = response;
    const flow = { resume: () => this.#resume(), abort: () => this.#resume() };
    this.#body = new CompressedBody(encoded, response, flow, context);
  }

  write(piece: Buffer): boolean {
    return this.#body.write(piece);
  }

  /** Until the encoder has taken what it has, or the client has left. */
  drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#resume = resolve;
    this.#response.once('close', resolve);
    if (this.#response.destroyed || this.#response.closed) resolve();
    return promise.finally(() => this.#response.off('close', resolve));
  }

  end(): void {
    this.#body.end([]);
  }
}

/** Until the client has read, or has left. */
function drained(response: OwnExchange['response']): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.once('drain', done).once('close', done);
    if (response.destroyed || response.closed) done();
  });
}
