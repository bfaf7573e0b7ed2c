/**
 * What a route does to the messages that pass it: validates requests, changes requests, changes answers. After
 * authorization and limits, and before the cache: the key of an answer is made of the request that the service would get,
 * and an answer is kept as it is after its change. Only routes with such options have one of these.
 */
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import { TextMistake, TextTooLong } from '../policies/json-text.ts';
import type { Rights } from '../policies/rights.ts';
import { type BodyTransform, compileTransform, type Transform, TransformFailure } from '../policies/transform.ts';
import { type AskedFacts, buildAskedFacts } from '../policies/transform-facts.ts';
import type { AnswerReshaping } from '../subgraphs/call.ts';
import type { Route } from '../subgraphs/service-definition.ts';
import { TransformedAnswer, withoutBodyFields } from '../subgraphs/transformed-answer.ts';
import type { GatewayRequest } from './context.ts';
import { readBody } from './request-body.ts';
import type { RequestTarget } from './request-target.ts';

export interface IncomingExchange {
  readonly request: IncomingMessage;
  readonly target: RequestTarget;
  readonly context: GatewayRequest;
  readonly rights: Rights;
  readonly service: string;
  readonly maxBodyBytes: number;
}

/** What became of a request. */
export interface PreparedRequest {
  /** Undefined where it was not read, and streams. */
  readonly body: Buffer | null | undefined;
  /** With its `?`, or empty. */
  readonly query: string;
  /** The header fields for the service, of those that it would have got. */
  changeHeaders(headers: string[]): string[];
  readonly reshape: AnswerReshaping | undefined;
}

export interface RouteMessages {
  /** Throws GatewayErrors: what is wrong with the request. */
  prepare(exchange: IncomingExchange): Promise<PreparedRequest>;
}

/** Fields by which a client asks for less than the whole answer as it stands, or for it in another coding. */
const ofWholeAnswer: ReadonlySet<string> = new Set(['accept-encoding', 'if-none-match', 'range', 'if-range']);

/** Null where the route has no such options. Compiled once: the promise is there before the first request. */
export function buildRouteMessages({ match, transform: options }: Route): RouteMessages | null {
  if (options === undefined) return null;
  const compiling = compileTransform(options);
  // Whoever asks next gets the failure; until then nobody waits for it.
  compiling.catch(() => {});
  const captures = buildCaptures(match.path);
  return {
    async prepare(exchange) {
      const transform = await compiling;
      const { context, target, rights } = exchange;
      const facts = buildAskedFacts({
        viewer: context.viewer,
        rights,
        request: context,
        query: target.query,
        params: captures(target.path),
      });
      const body = await readWhole(exchange, transform.request, transform.maxBytes);
      const changed = transform.request === null ? null : changeBody(transform.request, body, exchange, facts);
      return {
        body: changed?.body ?? body,
        query: transform.query === null ? target.query : transform.query(target.query, facts),
        changeHeaders: (headers) => changeHeaders(headers, changed, transform),
        reshape: reshape(transform, exchange, facts),
      };
    },
  };
}

/** The body, if it is of the kind that is changed; null where there is none. */
async function readWhole(
  { request, context, maxBodyBytes }: IncomingExchange,
  transform: BodyTransform | null,
  maxBytes: number,
): Promise<Buffer | null | undefined> {
  if (transform === null) return undefined;
  const { headers } = request;
  const isEmpty = headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0';
  if (isEmpty) return null;
  if (!transform.takes(headers['content-type'])) return undefined;
  assertReadable(headers);
  const bytes = await readBody(request, Math.min(maxBytes, maxBodyBytes), context.deadlineAtMs - performance.now());
  return bytes.length === 0 ? null : bytes;
}

function assertReadable(headers: IncomingMessage['headers']): void {
  const { 'content-encoding': coding = 'identity', 'content-type': type = '' } = headers;
  // RFC 7694: who sends a coding that is not taken hears so.
  if (coding.toLowerCase() !== 'identity') {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'This path takes no Content-Encoding');
  }
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(type)?.[1]?.toLowerCase() ?? 'utf-8';
  if (charset !== 'utf-8' && charset !== 'us-ascii') {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'This path takes bodies in UTF-8 only');
  }
}

const bodyMethods: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

function changeBody(
  transform: BodyTransform,
  body: Buffer | null | undefined,
  { context }: IncomingExchange,
  facts: AskedFacts,
): ReturnType<BodyTransform['apply']> | null {
  if (body === undefined || (body === null && !(transform.makesBody && bodyMethods.has(context.method)))) return null;
  try {
    return transform.apply(body === null ? undefined : transform.parse(body), facts);
  } catch (error) {
    if (error instanceof TextMistake) throw new GatewayError('BAD_REQUEST', error.message, { cause: error });
    if (error instanceof TextTooLong) throw new GatewayError('PAYLOAD_TOO_LARGE', undefined, { cause: error });
    if (!(error instanceof TransformFailure)) throw error;
    throw new GatewayError('BAD_REQUEST', 'The body does not have what this path needs', { cause: error });
  }
}

function changeHeaders(
  headers: string[],
  changed: ReturnType<BodyTransform['apply']> | null,
  { response }: Transform,
): string[] {
  let own = headers;
  if (response !== null) {
    own = [...filterHeaders(own, (name) => !ofWholeAnswer.has(name)), 'accept-encoding', 'identity'];
  }
  if (changed === null) return own;
  own = withoutBodyFields(own);
  if (changed.contentType === undefined) return own;
  return [...filterHeaders(own, (name) => name !== 'content-type'), 'content-type', changed.contentType];
}

function reshape(
  { response, maxBytes, answerKey }: Transform,
  { service, context: { method } }: IncomingExchange,
  facts: AskedFacts,
): AnswerReshaping | undefined {
  if (response === null) return undefined;
  return {
    key: answerKey(facts),
    wrap: (receiver) => new TransformedAnswer({ transform: response, maxBytes, service, method, facts }, receiver),
  };
}

/** What the path captures, decoded, by name; of a wildcard by `*`. */
function buildCaptures(pattern: string): (path: string) => Record<string, string> {
  const segments = pattern.split('/');
  return (path) => {
    const parts = path.split('/');
    const found: [string, string][] = [];
    for (const [at, segment] of segments.entries()) {
      if (segment.startsWith(':')) found.push([segment.slice(1), decode(parts[at] ?? '')]);
      else if (segment === '*') found.push(['*', decode(parts.slice(at).join('/'))]);
    }
    return Object.fromEntries(found);
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
