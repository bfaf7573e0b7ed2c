/** Answers that the gateway makes itself at its own routes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { lingerAtEnd } from './client-pace.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import type { GraphqlGeneration } from './graphql-generation.ts';
import { isUnread } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';

/** One request at a route that may be used. */
export interface OwnExchange {
  readonly target: RequestTarget;
  /** What the pattern of the route captured, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly context: GatewayRequest;
  /** The graph that the request runs on. */
  readonly generation: GraphqlGeneration;
}

/** Writes the head: with what the gateway and the policies of the route add. */
export function writeHead({ request, response, context }: OwnExchange, status: number, own: readonly string[]): void {
  const headers = [...edgeHeaders(context), ...own];
  if (isUnread(request)) {
    headers.push('connection', 'close');
    lingerAtEnd(request);
  }
  response.writeHead(status, finishHeaders(context, headers));
}

/** Writes a whole answer. To HEAD it has the length that it would have (RFC 9110 section 9.3.2). */
export function sendWhole(
  exchange: OwnExchange,
  status: number,
  headers: readonly string[],
  body: Buffer | string,
): void {
  const { response, context } = exchange;
  if (context.departure.happened) return;
  const bytes = Buffer.byteLength(body);
  writeHead(exchange, status, [...headers, 'content-length', String(bytes)]);
  if (context.method === 'HEAD') {
    response.end();
    return;
  }
  context.bodyBytes = bytes;
  context.meter?.passResponse(bytes);
  context.meter?.settle();
  response.end(body);
}

/** An answer without content. */
export function sendEmpty(exchange: OwnExchange, status: number, headers: readonly string[]): void {
  if (exchange.context.departure.happened) return;
  writeHead(exchange, status, headers);
  exchange.response.end();
}
