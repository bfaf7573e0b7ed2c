/** Requests and answers of HTTP/2, as the doors know them from HTTP/1.1. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import {
  constants,
  type IncomingHttpHeaders as Http2Headers,
  Http2ServerRequest,
  Http2ServerResponse,
  type ServerHttp2Stream,
} from 'node:http2';
import { Socket } from 'node:net';
import type { ReadableOptions } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { GatewayError } from '../policies/errors.ts';
import { hopByHop } from '../policies/reserved-headers.ts';

/** Under this name a session holds its socket: its own `socket` is a proxy that throws once the session is over. */
export const peer = Symbol('peer');

/** Whether a host belongs on a connection that asked for a server by this name. */
export type IsMisdirected = (serverName: string | false | undefined, host: string) => boolean;

/**
 * A request as HTTP/1.1 would have brought it: `host` in place of `:authority`, one Cookie (RFC 9113 section 8.2.3), and
 * `transfer-encoding` where a body of unknown length follows, which is what tells a body from none everywhere else here.
 */
export class Http2Request extends Http2ServerRequest {
  readonly #headers: IncomingHttpHeaders = {};
  readonly #rawHeaders: string[];
  readonly #socket: Socket;
  /** The hosts that the request names. RFC 9113 section 8.3.1: `:authority` and Host, if both are there, are the same. */
  readonly isContradictory: boolean;
  /** Of the head, as RFC 9113 section 6.5.2 counts it. */
  readonly headBytes: number;
  /** Of the body. */
  receivedBytes = 0;
  #isWhole: boolean;
  #isGivenUp = false;

  constructor(
    stream: ServerHttp2Stream,
    headers: Http2Headers,
    options: ReadableOptions,
    rawHeaders: readonly string[],
  ) {
    super(stream, headers, options, rawHeaders);
    // A session that is over by now leaves a request that nobody waits for.
    const session = stream.session as { readonly [peer]?: Socket } | undefined;
    this.#socket = session?.[peer] ?? new Socket();
    for (const name in headers) if (name.charCodeAt(0) !== 58) this.#headers[name] = headers[name];
    const { ':authority': authority, host } = headers;
    this.isContradictory =
      authority?.includes('@') === true ||
      (authority !== undefined && host !== undefined && authority.toLowerCase() !== host.toLowerCase());
    if (authority !== undefined) this.#headers.host = authority;
    if (!stream.endAfterHeaders && headers['content-length'] === undefined) {
      this.#headers['transfer-encoding'] = 'chunked';
    }
    this.#rawHeaders = plainFields(rawHeaders, authority, headers.cookie);
    this.headBytes = countBytes(rawHeaders);
    this.#isWhole = stream.endAfterHeaders;
  }

  /** As in HTTP/1.1, whether it has come to its end. In Node a request that breaks off is complete, too. */
  // @ts-expect-error: declared as a property, and an accessor in Node
  override get complete(): boolean {
    return this.#isWhole;
  }

  /** What is still to come shall not be mistaken for all there was. */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  /** Node takes the end of the stream for the end of the body, also where a client resets it without an error. */
  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk !== null) this.receivedBytes += chunk.length;
    else if (!this.#isWhole) {
      const { stream } = this;
      this.#isWhole = stream.readableEnded && !stream.aborted && !this.#isGivenUp;
      if (!this.#isWhole) {
        this.destroy(this.listenerCount('error') > 0 ? brokenOff() : undefined);
        return false;
      }
    }
    return super.push(chunk, encoding);
  }

  // @ts-expect-error: declared as a property, and an accessor in Node
  override get headers(): Http2Headers {
    return this.#headers as Http2Headers;
  }

  // @ts-expect-error: declared as a property, and an accessor in Node
  override get rawHeaders(): string[] {
    return this.#rawHeaders;
  }

  // @ts-expect-error: declared as a property, and an accessor in Node
  override get socket(): Socket {
    return this.#socket;
  }
}

/** As Node has it for HTTP/1.1. */
function brokenOff(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
}

/** Each field counts for 32 more than it has. */
function countBytes(raw: readonly string[]): number {
  let bytes = 16 * raw.length;
  for (const text of raw) bytes += text.length;
  return bytes;
}

function plainFields(raw: readonly string[], authority: string | undefined, cookie: string | undefined): string[] {
  const plain: string[] = [];
  if (authority !== undefined) plain.push('host', authority);
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (name.charCodeAt(0) === 58 || name === 'cookie' || (name === 'host' && authority !== undefined)) continue;
    plain.push(name, raw[i + 1] ?? '');
  }
  if (cookie !== undefined) plain.push('cookie', cookie);
  return plain;
}

/** An answer without what is about connections of HTTP/1.1, and with an end that is none if it was cut. */
export class Http2Response extends Http2ServerResponse<Http2Request> {
  /** Whether the head is all there is: then it says so itself, and no frame follows. */
  endsWithHead = false;
  /** Whether its stream was reset from this side. */
  isCut = false;
  #writtenLength = 0;

  constructor(stream: ServerHttp2Stream) {
    super(stream);
    // Trailers come after the end of the body. Node's own listener, which sends them, is the first.
    stream.once('wantTrailers', () => this.#leaveRest());
    stream.once('finish', () => {
      if (this.#writtenLength === 0) this.#leaveRest();
    });
  }

  /** RFC 9113 section 8.1: an answer before the end of the request. Nobody reads the rest. */
  #leaveRest(): void {
    const { req, stream } = this;
    if (req.complete || stream.readableEnded || stream.closed) return;
    req.giveUp();
    stream.close(constants.NGHTTP2_NO_ERROR);
  }

  /** What was written and has left; grows by any measure with every byte that does. */
  get sentLength(): number {
    return this.#writtenLength - this.writableLength;
  }

  /** What closes a connection of HTTP/1.1 after the answer: this one takes no new requests (GOAWAY). */
  set shouldKeepAlive(keep: boolean) {
    if (!keep) this.stream.session?.close();
  }

  // @ts-expect-error: missing in Node
  override get destroyed(): boolean {
    return this.closed;
  }

  // @ts-expect-error: declared as a property, and missing in Node
  override get closed(): boolean {
    return this.stream.closed || this.stream.destroyed;
  }

  /** A reset by the client ends the stream as well, and would look like an end of ours. */
  // @ts-expect-error: missing in the types of Node
  override get writableFinished(): boolean {
    return this.writableEnded && this.stream.writableFinished && !this.stream.aborted;
  }

  override writeHead(status: number, ...rest: unknown[]): this {
    const headers = rest.at(-1);
    if (!Array.isArray(headers)) return super.writeHead(status, ...(rest as []));
    if (this.endsWithHead) {
      for (const [name, values] of Object.entries(gatherFields(headers))) this.setHeader(name, values);
      this.statusCode = status;
      // Comes back here with what was set, and the end of the stream in the same frame.
      return this.end();
    }
    return super.writeHead(status, ownFields(headers) as never);
  }

  override write(chunk: string | Uint8Array, ...rest: unknown[]): boolean {
    this.#writtenLength += chunk.length;
    return super.write(chunk, ...(rest as []));
  }

  /** @param headers names and values in turn */
  writeInformation(status: number, headers: readonly string[] = []): boolean {
    if (this.headersSent || this.closed) return false;
    this.stream.additionalHeaders({ ...gatherFields(headers), ':status': status });
    return true;
  }

  /** @param trailers pairs of name and value */
  // @ts-expect-error: Node takes an object only
  override addTrailers(trailers: readonly (readonly [string, string])[]): void {
    super.addTrailers(gatherFields(trailers.flat()) as never);
  }

  /** The client must not take what it has for the whole: a reset without an error would read as an end. */
  override destroy(): this {
    this.isCut = true;
    if (!this.stream.writableFinished) this.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return this;
  }
}

/** By name, for what Node takes in no other form. */
function gatherFields(headers: readonly string[]): Record<string, string[]> {
  const fields: Record<string, string[]> = {};
  const own = ownFields(headers);
  for (let i = 0; i + 1 < own.length; i += 2) {
    const name = own[i]?.toLowerCase() ?? '';
    fields[name] ??= [];
    fields[name].push(own[i + 1] ?? '');
  }
  return fields;
}

/** RFC 9113 section 8.2.2: fields of a connection make a message malformed. */
function ownFields(headers: readonly string[]): string[] {
  const own: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (!hopByHop.has(name.toLowerCase())) own.push(name, headers[i + 1] ?? '');
  }
  return own;
}

/**
 * Throws where an HTTP/2 request is for a host for which another certificate is meant: clients send requests for several
 * hosts over one connection, and send again over another one when they are told (RFC 9110 section 15.5.20).
 */
export function assertOwnConnection(request: IncomingMessage | Http2Request, isMisdirected?: IsMisdirected): void {
  if (isMisdirected === undefined || !(request instanceof Http2Request)) return;
  const { socket, headers } = request;
  if (!(socket instanceof TLSSocket)) return;
  const { servername } = socket as TLSSocket & { readonly servername?: string | false };
  if (isMisdirected(servername, (headers.host ?? '').replace(/:\d*$/, '')))
    throw new GatewayError('MISDIRECTED_REQUEST');
}
