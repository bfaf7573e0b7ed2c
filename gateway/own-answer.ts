/** Answers that the gateway makes itself at its own routes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ChooseCompression, CompressionChoice } from '../policies/compression.ts';
import { type Coding, encodeWhole } from '../policies/content-codings.ts';
import { lingerAtEnd } from './client-pace.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import type { GraphqlGeneration } from './graphql-generation.ts';
import type { OwnOutcome } from './own-routes.ts';
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
  /** What the route compresses; null for nothing. */
  readonly compression: ChooseCompression | null;
}

/** Writes the head: with what the gateway and the policies of the route add. Gives how the body is compressed. */
export function writeHead(exchange: OwnExchange, status: number, own: readonly string[]): EncodedBody | null {
  const { headers, encoded } = buildHead(exchange, status, own);
  exchange.response.writeHead(status, headers);
  return encoded;
}

/** Writes a whole answer, and says what it is by its status. To HEAD it has the length that it would have (RFC 9110 section 9.3.2), where that is known. */
export async function sendWhole(
  exchange: OwnExchange,
  status: number,
  own: readonly string[],
  body: Buffer | string,
): Promise<OwnOutcome> {
  const { response, context } = exchange;
  const outcome = outcomeOf(status);
  if (context.departure.happened) return outcome;
  const length = ['content-length', String(Buffer.byteLength(body))];
  const { headers, encoded } = buildHead(exchange, status, [...own, ...length]);
  if (context.method === 'HEAD') {
    response.writeHead(status, headers);
    response.end();
    return outcome;
  }
  const sent = encoded === null ? body : await encodeWhole(body, encoded.coding);
  if (context.departure.happened) return outcome;
  const bytes = Buffer.byteLength(sent);
  response.writeHead(status, encoded === null ? headers : [...headers, 'content-length', String(bytes)]);
  context.bodyBytes = bytes;
  context.meter?.passResponse(bytes);
  context.meter?.settle();
  response.end(sent);
  return outcome;
}

/** An answer without content. */
export function sendEmpty(exchange: OwnExchange, status: number, headers: readonly string[]): OwnOutcome {
  const outcome = outcomeOf(status);
  if (exchange.context.departure.happened) return outcome;
  writeHead(exchange, status, headers);
  exchange.response.end();
  return outcome;
}

function outcomeOf(status: number): OwnOutcome {
  if (status === 206) return 'range';
  if (status === 304) return 'not-modified';
  if (status >= 400) return 'failed';
  return status >= 300 ? 'redirect' : 'whole';
}

/** How a body is compressed on its way. */
export type EncodedBody = CompressionChoice & { readonly coding: Coding };

function buildHead(
  { request, context, compression }: OwnExchange,
  status: number,
  own: readonly string[],
): { readonly headers: string[]; readonly encoded: EncodedBody | null } {
  const all = [...edgeHeaders(context), ...own];
  if (isUnread(request)) {
    all.push('connection', 'close');
    lingerAtEnd(request);
  }
  const finished = finishHeaders(context, all);
  const choice = compression?.({ status, headers: finished }, context.headers) ?? null;
  if (choice === null) return { headers: finished, encoded: null };
  const { coding, headers } = choice;
  return { headers, encoded: coding === null ? null : { ...choice, coding } };
}
