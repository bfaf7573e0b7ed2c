/**
 * What a route does to the messages that pass it: validates requests, changes requests, changes answers. After
 * authorization and limits, and before the cache: the key of an answer is made of the request that the service would get,
 * and an answer is kept as it is after its change. Only routes with such options have one of these.
 */
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import { TextMistake, TextTooLong } from '../policies/json-text.ts';
import { compileValidation } from '../policies/request-validation.ts';
import type { Rights } from '../policies/rights.ts';
import { type BodyTransform, compileTransform, type Transform, TransformFailure } from '../policies/transform.ts';
import { type AskedFacts, buildAskedFacts } from '../policies/transform-facts.ts';
import type { AnswerReshaping } from '../subgraphs/call.ts';
import type { Route } from '../subgraphs/service-definition.ts';
import { TransformedAnswer, withoutBodyFields } from '../subgraphs/transformed-answer.ts';
import type { GatewayRequest } from './context.ts';
import type { RequestTarget } from './request-target.ts';
import { assertValidBody, assertValidHead, type InvalidListener } from './request-validity.ts';
import { bodyMethods, listReaders, readWhole } from './whole-body.ts';

export interface IncomingExchange {
  readonly request: IncomingMessage;
  readonly target: RequestTarget;
  readonly context: GatewayRequest;
  readonly rights: Rights;
  readonly service: string;
  /** Of the route. */
  readonly label: string;
  readonly maxBodyBytes: number;
  readonly onInvalid: InvalidListener;
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
export function buildRouteMessages({ match, validate, transform: options }: Route): RouteMessages | null {
  if (options === undefined && validate === undefined) return null;
  const validation = validate === undefined ? null : compileValidation(validate);
  const compiling = options === undefined ? null : compileTransform(options);
  // Whoever asks next gets the failure; until then nobody waits for it.
  compiling?.catch(() => {});
  const captures = buildCaptures(match.path);
  return {
    async prepare(exchange) {
      const transform = await compiling;
      const params = captures(exchange.target.path);
      const wanted = listReaders(validation, transform?.request ?? null, transform?.maxBytes ?? 0);
      if (validation !== null) assertValidHead(validation, exchange, params);
      const body = await readWhole(exchange, wanted);
      if (validation !== null) assertValidBody(validation, exchange, body);
      if (transform === null) return { ...untouched, body, query: exchange.target.query };
      return change(transform, exchange, body, params);
    },
  };
}

const untouched = { changeHeaders: (headers: string[]) => headers, reshape: undefined };

function change(
  transform: Transform,
  exchange: IncomingExchange,
  body: Buffer | null | undefined,
  params: Readonly<Record<string, string>>,
): PreparedRequest {
  const { context, rights, target, request } = exchange;
  const { query } = target;
  const facts = buildAskedFacts({ viewer: context.viewer, rights, request: context, query, params });
  const isTaken = body === null || transform.request?.takes(request.headers['content-type']) === true;
  const changed = transform.request !== null && isTaken ? changeBody(transform.request, body, exchange, facts) : null;
  return {
    body: changed?.body ?? body,
    query: transform.query === null ? query : transform.query(query, facts),
    changeHeaders: (headers) => changeHeaders(headers, changed, transform),
    reshape: reshape(transform, exchange, facts),
  };
}

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
