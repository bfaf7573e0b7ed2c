/**
 * What a route does to the messages that pass it: validates requests, changes requests, changes answers. After
 * authorization and limits, and before the cache: the key of an answer is made of the request that the service would get,
 * and an answer is kept as it is after its change. Only routes with such options have one of these.
 */
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import { TextMistake, TextTooLong } from '../policies/json-text.ts';
import {
  bodyMethods,
  compileValidation,
  type RequestPlan,
  type RequestValidation,
} from '../policies/request-validation.ts';
import type { Rights } from '../policies/rights.ts';
import { type BodyTransform, compileTransform, type Transform, TransformFailure } from '../policies/transform.ts';
import { type AskedFacts, buildAskedFacts } from '../policies/transform-facts.ts';
import type { AnswerReshaping } from '../subgraphs/call.ts';
import { ObservedAnswer } from '../subgraphs/observed-answer.ts';
import type { Route } from '../subgraphs/service-definition.ts';
import { TransformedAnswer, withoutBodyFields } from '../subgraphs/transformed-answer.ts';
import type { GatewayRequest } from './context.ts';
import type { OpenapiSources } from './openapi-sources.ts';
import type { RequestTarget } from './request-target.ts';
import {
  assertValidBody,
  assertValidHead,
  type InvalidListener,
  type InvalidMessage,
  tellRefusal,
} from './request-validity.ts';
import { listReaders, readWhole } from './whole-body.ts';

export interface IncomingExchange {
  readonly request: IncomingMessage;
  readonly target: RequestTarget;
  readonly context: GatewayRequest;
  readonly rights: Rights;
  readonly service: string;
  /** Of the route. */
  readonly label: string;
  readonly maxBodyBytes: number;
  /** The path at the service. */
  readonly rewrite: (path: string) => string;
  readonly onInvalid: InvalidListener;
  readonly openapi: OpenapiSources;
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
      const plan = validation === null ? null : planValidation(validation, exchange, params);
      const { request = null, maxBytes = 0 } = transform ?? {};
      const readers = listReaders(validation, plan?.bodies ?? [], request, maxBytes);
      const body = await tellRefusal(validation, exchange, async () => {
        if (validation !== null && plan !== null) assertValidHead(validation, plan, exchange);
        const whole = await readWhole(exchange, readers);
        if (validation !== null && plan !== null) assertValidBody(validation, plan, exchange, whole);
        return whole;
      });
      const prepared =
        transform === null
          ? { ...untouched, body, query: exchange.target.query }
          : change(transform, exchange, body, params);
      if (validation === null || plan === null || plan.findAnswer === null || !validation.looksAtAnswers)
        return prepared;
      return { ...prepared, reshape: observeAnswer(validation, plan.findAnswer, exchange, prepared.reshape) };
    },
  };
}

function planValidation(
  validation: RequestValidation,
  { request, target, context, rewrite, service, label, openapi, onInvalid }: IncomingExchange,
  params: Readonly<Record<string, string>>,
): RequestPlan {
  const document = validation.openapi === undefined ? null : openapi.find(service, validation);
  if (validation.openapi !== undefined && document === null) {
    const isRefused = validation.openapi.whileMissing === 'refuse' && validation.mode === 'enforce';
    const mode = isRefused ? 'enforce' : 'log';
    onInvalid({ route: label, of: 'request', mode, code: 'SERVICE_UNAVAILABLE', mistakes: [] });
    if (isRefused) {
      const message = 'What requests must be is not known yet';
      throw new GatewayError('SERVICE_UNAVAILABLE', message, { service, retryAfterSeconds: 5 });
    }
  }
  const { headers } = request;
  return validation.plan({
    method: context.method,
    path: rewrite(target.path),
    query: target.query,
    headers,
    params,
    document,
  });
}

/** Around the change of the answer, if there is one: what counts is what the service said. */
function observeAnswer(
  { maxBytes }: RequestValidation,
  findAnswer: NonNullable<RequestPlan['findAnswer']>,
  { context, label, onInvalid }: IncomingExchange,
  reshape: AnswerReshaping | undefined,
): AnswerReshaping {
  const tell = (mistakes: InvalidMessage['mistakes']) => {
    if (mistakes.length > 0) {
      onInvalid({ route: label, of: 'answer', mode: 'log', code: 'DOWNSTREAM_SERVICE_ERROR', mistakes });
    }
  };
  return {
    key: reshape?.key ?? '',
    wrap: (receiver) =>
      new ObservedAnswer({ maxBytes, method: context.method, findAnswer, tell }, reshape?.wrap(receiver) ?? receiver),
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
      if (segment.startsWith(':')) found.push([segment.slice(1).replace(/\(.*/, ''), decode(parts[at] ?? '')]);
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
