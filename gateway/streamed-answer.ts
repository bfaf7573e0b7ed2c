/** An answer of a service on its way to the client: never held, compressed where the route says so. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Flow, Receiver } from '../subgraphs/call.ts';
import { endToEndResponseHeaders } from '../subgraphs/forwarding.ts';
import { dropMisplaced, pickTrailers, takesTrailers } from './answer-trailers.ts';
import { lingerAtEnd } from './client-pace.ts';
import { CompressedBody } from './compressed-body.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { forwardInterim } from './interim-answers.ts';
import { isUnread } from './request-body.ts';
import { rewriteCookies } from './rest-edge.ts';
import type { RouteTarget } from './route-table.ts';

const keepAliveProbeMs = 30_000;

/** Writes an answer to the client as it arrives, with back-pressure. */
export class StreamedAnswer implements Receiver {
  readonly #route: RouteTarget;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #context: GatewayRequest;
  #compressed: CompressedBody | null = null;
  #trailing = false;
  /** What the service has said, until there is something to say it with. */
  #head: { readonly status: number; readonly headers: string[]; readonly flow: Flow } | null = null;

  /** Of an answer that passes as it comes. */
  #flow: Flow | null = null;
  #isWaiting = false;

  constructor(route: RouteTarget, request: IncomingMessage, response: ServerResponse, context: GatewayRequest) {
    this.#route = route;
    this.#request = request;
    this.#response = response;
    this.#context = context;
  }

  onInterim(status: number, rawHeaders: readonly string[]): void {
    forwardInterim(status, rawHeaders, this.#request, this.#response);
  }

  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void {
    const headers = endToEndResponseHeaders(rawHeaders);
    this.#trailing = takesTrailers(this.#request, status, headers);
    dropMisplaced(headers, status, this.#trailing);
    const { cookies } = this.#route.edge;
    if (cookies !== null) rewriteCookies(headers, cookies);
    this.#head = { status, headers, flow };
    // Where the length is known the first byte is on its way, and the head waits for it: a service that breaks off before
    // has given no answer, and its client gets a whole one that says so.
    if (!hasHeader(headers, 'content-length') || this.#route.edge.compression !== null) this.#sendHead();
  }

  onData(chunk: Buffer): boolean {
    this.#sendHead();
    if (this.#compressed !== null) return this.#compressed.write(chunk);
    this.#context.bodyBytes += chunk.length;
    this.#context.meter?.passResponse(chunk.length);
    const goesOn = this.#response.write(chunk);
    if (!goesOn) this.#waitForReader();
    return goesOn;
  }

  #waitForReader(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#response.once('drain', () => {
      this.#isWaiting = false;
      this.#flow?.resume();
    });
  }

  holdsNothing(): boolean {
    return this.#compressed === null && this.#response.writableLength === 0;
  }

  onEnd(trailers: readonly string[]): void {
    this.#sendHead();
    const passed = this.#trailing ? pickTrailers(trailers) : [];
    if (this.#compressed !== null) {
      this.#compressed.end(passed);
      return;
    }
    // Before the client has it all: its next request finds this one counted.
    this.#context.meter?.settle();
    if (passed.length > 0) this.#response.addTrailers(passed);
    this.#response.end();
  }

  #sendHead(): void {
    if (this.#head === null) return;
    const { status, headers, flow } = this.#head;
    this.#head = null;
    headers.push(...edgeHeaders(this.#context));
    // An answer before the end of the request: what is still to come is read by nobody, so no other request can follow.
    if (isUnread(this.#request)) {
      headers.push('connection', 'close');
      lingerAtEnd(this.#request);
    }
    const finished = finishHeaders(this.#context, headers);
    const choice = this.#route.edge.compression?.({ status, headers: finished }, this.#context.headers);
    this.#response.writeHead(status, choice?.headers ?? finished);
    if (choice?.coding && this.#context.method !== 'HEAD') {
      this.#compressed = new CompressedBody({ ...choice, coding: choice.coding }, this.#response, flow, this.#context);
    } else this.#flow = flow;
    // Node holds the head back until the first byte of the body. A stream of events may take its time, and its client wants
    // to know that it began.
    if (choice?.coding || !hasHeader(headers, 'content-length')) {
      this.#response.flushHeaders();
      // Nothing else would tell that the client of a silent stream is gone without a word.
      this.#request.socket.setKeepAlive(true, keepAliveProbeMs);
    }
  }
}

function hasHeader(headers: readonly string[], name: string): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.length === name.length && headers[i]?.toLowerCase() === name) return true;
  }
  return false;
}
