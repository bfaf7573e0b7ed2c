/** Bodies of calls of gRPC on their way to a service: taken out of base64, counted, and no message too large. */
import type { IncomingMessage } from 'node:http';
import { Transform, type TransformCallback } from 'node:stream';
import { GatewayError } from '../policies/errors.ts';
import type { ByteMeter } from '../policies/rate-limit-bytes.ts';
import { FrameGuard } from '../subgraphs/grpc-frames.ts';
import type { GrpcForm } from './grpc-dialect.ts';

export interface GrpcBodyLimits {
  readonly maxMessageBytes: number;
  /** Of all messages together. */
  readonly maxBytes: number;
  readonly meter: ByteMeter | undefined;
}

/** The body as the service gets it. It fails with PAYLOAD_TOO_LARGE or BAD_REQUEST. */
export function readGrpcBody(request: IncomingMessage, form: GrpcForm, limits: GrpcBodyLimits): Transform {
  const body = new GrpcBody(form === 'web-text', limits);
  // Whoever reads it gets the error from the stream; if nobody does any more, it concerns nobody.
  body.on('error', () => {});
  // `pipe` does not pass on a client that breaks off; without this the service would wait for the rest.
  request.once('close', () => {
    if (!request.complete) {
      body.destroy(new GatewayError('CLIENT_CLOSED_REQUEST', 'The client broke off its request'));
    }
  });
  return request.pipe(body);
}

class GrpcBody extends Transform {
  readonly #limits: GrpcBodyLimits;
  readonly #isText: boolean;
  readonly #guard: FrameGuard;
  #passed = 0;
  /** Of a group of four characters those that have come. */
  #open = '';

  constructor(isText: boolean, limits: GrpcBodyLimits) {
    super();
    this.#limits = limits;
    this.#isText = isText;
    this.#guard = new FrameGuard(limits.maxMessageBytes);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const { maxBytes, meter } = this.#limits;
    this.#passed += chunk.length;
    meter?.passRequest(chunk.length);
    try {
      if (this.#passed > maxBytes) {
        throw new GatewayError('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes`);
      }
      const bytes = this.#isText ? this.#decode(chunk.toString('latin1')) : chunk;
      this.#guard.pass(bytes);
      if (bytes.length > 0) this.push(bytes);
      done();
    } catch (thrown) {
      done(thrown as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    done(this.#open === '' ? null : new GatewayError('BAD_REQUEST', 'The body is no base64'));
  }

  /** Groups one by one where there is padding inside: each message may have been encoded for itself. */
  #decode(text: string): Buffer {
    const all = this.#open + text.replaceAll(/[\r\n]/g, '');
    const end = all.length - (all.length % 4);
    this.#open = all.slice(end);
    const groups = all.slice(0, end);
    if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/.test(groups)) {
      throw new GatewayError('BAD_REQUEST', 'The body is no base64');
    }
    const parts = groups.match(/[^=]+={0,2}/g) ?? [];
    return Buffer.concat(parts.map((part) => Buffer.from(part, 'base64')));
  }
}
