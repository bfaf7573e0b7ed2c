/** The body of an answer that is compressed on its way to the client. */
import type { ServerResponse } from 'node:http';
import type { Transform } from 'node:stream';
import { type CompressionChoice, integrityFields } from '../policies/compression.ts';
import { type Coding, createEncoder } from '../policies/content-codings.ts';
import type { Flow } from '../subgraphs/call.ts';
import type { GatewayRequest } from './context.ts';

/** As a piece of the way: it asks the service for a pause when the client does, and is gone when the client is. */
export class CompressedBody {
  readonly #encoder: Transform;
  #trailers: [string, string][] = [];

  constructor(
    { coding, flushes }: CompressionChoice & { readonly coding: Coding },
    response: ServerResponse,
    flow: Flow,
    context: Pick<GatewayRequest, 'bodyBytes' | 'meter'>,
  ) {
    const encoder = createEncoder(coding, flushes);
    this.#encoder = encoder;
    encoder.on('data', (chunk: Buffer) => {
      context.bodyBytes += chunk.length;
      context.meter?.passResponse(chunk.length);
      if (!response.write(chunk)) encoder.pause();
    });
    encoder.on('end', () => {
      // Before the client has it all: its next request finds this one counted.
      context.meter?.settle();
      if (this.#trailers.length > 0) response.addTrailers(this.#trailers);
      response.end();
    });
    encoder.on('drain', () => flow.resume());
    encoder.on('error', (error) => {
      flow.abort(error);
      // Also after the service has finished: the head promised a whole body.
      response.destroy(error);
    });
    response.on('drain', () => encoder.resume());
    response.once('close', () => encoder.destroy());
  }

  /** `false` asks for a pause. */
  write(chunk: Buffer): boolean {
    return this.#encoder.destroyed || this.#encoder.write(chunk);
  }

  end(trailers: readonly [string, string][]): void {
    // Digests are of the bytes that the service sent.
    this.#trailers = trailers.filter(([name]) => !integrityFields.has(name.toLowerCase()));
    if (!this.#encoder.destroyed) this.#encoder.end();
  }
}
