/** Carries GraphQL requests to services through the call: the one way in which a graph talks to the outside. */
import type { ExecutionResult } from 'graphql';
import { type AnswerHints, readAnswerHints } from '../policies/answer-lifetime.ts';
import { readAnswerTags } from '../policies/answer-tags.ts';
import { GatewayError } from '../policies/errors.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { BufferedAnswer } from '../subgraphs/buffered-answer.ts';
import { buildNamedTag } from '../subgraphs/cache-tags.ts';
import type { AcceptsVersion, Call } from '../subgraphs/call.ts';
import type { GraphqlEndpoint } from '../subgraphs/graphql-endpoint.ts';
import type { SubgraphExecutor, SubgraphRequest } from './graph.ts';
import { plainText } from './plan-run.ts';
import { createRequestSharing, describeAsker } from './request-sharing.ts';

export interface SubgraphTransportOptions {
  readonly call: Call;
  /** The endpoint of a service as it is now; undefined when the service is gone. */
  readonly endpointOf: (service: string) => GraphqlEndpoint | undefined;
  /** Headers that requests to a service carry beside the gateway's own. @default the client's that the endpoint names */
  readonly headersOf?: (service: string) => SubgraphHeaders | undefined;
  /** Which instances may be asked, when not all of them know what is asked for. @default all */
  readonly acceptsOf?: (service: string, query: string) => AcceptsVersion | undefined;
  readonly maxResponseBytes: number;
  /** Whether queries that no service could tell apart share one request while it is under way. @default never */
  readonly sharesRequests?: () => boolean;
  /** Whether headers say how long answers may be kept. @default never */
  readonly readsHints?: () => boolean;
}

/** What requests to a service carry beside what the gateway says itself. */
export interface SubgraphHeaders {
  /** Makes of the client's headers those for the service. */
  readonly apply: ((headers: readonly string[], context: RequestContext, path: string) => string[]) | null;
  /** What the service can tell of a request, in the names of `describeAsker`. */
  readonly askerParts: readonly string[];
}

/** An answer as text: those who share it each get objects of their own, because executors write into them. */
interface ReceivedAnswer {
  readonly status: number;
  /** Its headers that may reach clients. */
  readonly headers: readonly string[];
  readonly text: string;
  /** Whether the text holds no escapes; then no string of it has a character that JSON escapes. */
  readonly isPlain: boolean;
  /** What its headers say of how long it may be kept; null where nobody wants to know. */
  readonly hints: AnswerHints | null;
}

const backslash = 0x5c;
const ofTheBody: ReadonlySet<string> = new Set(['content-type', 'accept', 'content-encoding']);
const accept = 'application/graphql-response+json, application/json;q=0.9';

/** Creates the transport. It throws GatewayErrors: those of the call, and DOWNSTREAM_SERVICE_ERROR for what is no answer. */
export function createSubgraphTransport(options: SubgraphTransportOptions): SubgraphExecutor {
  const { endpointOf, headersOf = () => undefined, sharesRequests = () => false } = options;
  const sharing = createRequestSharing<ReceivedAnswer>();
  return async (request, context) => {
    const { service, operationType } = request;
    const endpoint = endpointOf(service);
    if (endpoint === undefined) {
      throw new GatewayError('SERVICE_UNAVAILABLE', `Service ${service} is gone`, { service });
    }
    const body = buildBody(request);
    const rules = headersOf(service);
    const { changeCall } = context;
    const plain = buildHeaders(endpoint, rules, context);
    const called = { service, method: 'POST', path: endpoint.path ?? '/graphql' };
    const headers = changeCall === undefined ? plain : await changeCall(called, plain);
    let isOwn = false;
    const start = (own: RequestContext) => {
      isOwn = true;
      return send(options, request, called.path, headers, body, own);
    };
    if (operationType !== 'query' || !sharesRequests()) return take(service, await start(context), context, true);
    const forwarded = rules?.askerParts ?? (endpoint.forwardHeaders ?? []).map((name) => name.toLowerCase());
    const changed = headers === plain ? '' : JSON.stringify(headers);
    const identity = `${service} ${endpoint.path ?? ''} ${describeAsker(context, forwarded)}${changed}`;
    const answer = await sharing.share(identity, body, context, start);
    return take(service, answer, context, isOwn);
  };
}

/**
 * Each of those who share an answer learns what it says. Headers go to everyone who waited; cookies only to the one whose
 * request it was.
 */
function take(service: string, answer: ReceivedAnswer, context: RequestContext, isOwn: boolean): ExecutionResult {
  if (answer.hints !== null) context.lifetime?.add(answer.hints);
  context.serviceHeaders?.note(answer.headers, isOwn);
  return parseAnswer(service, answer);
}

async function send(
  { call, acceptsOf, maxResponseBytes, readsHints }: SubgraphTransportOptions,
  { service, operationType, query }: SubgraphRequest,
  path: string,
  headers: readonly string[],
  body: string,
  context: RequestContext,
): Promise<ReceivedAnswer> {
  const answer = new BufferedAnswer(maxResponseBytes);
  const accepts = acceptsOf?.(service, query);
  await call(
    {
      service,
      method: 'POST',
      path,
      headers,
      body,
      // A query may be asked twice; a mutation is not sent again once it may have been seen (invariant 4).
      idempotent: operationType === 'query',
      bodyByDeadline: true,
      ...(accepts !== undefined && { accepts }),
      receiver: answer,
    },
    context,
  );
  const { status, rawHeaders } = answer;
  return {
    status,
    headers: context.serviceHeaders?.select(service, rawHeaders) ?? [],
    text: answer.body.toString('utf8'),
    isPlain: !answer.body.includes(backslash),
    hints: operationType === 'query' && readsHints?.() === true ? readHints(service, rawHeaders) : null,
  };
}

function readHints(service: string, rawHeaders: readonly string[]): AnswerHints {
  return readAnswerHints(
    rawHeaders,
    readAnswerTags(rawHeaders).map((name) => buildNamedTag(service, name)),
  );
}

function buildBody({ query, variables, operationName }: SubgraphRequest): string {
  return JSON.stringify({ query, variables, operationName });
}

function buildHeaders(
  endpoint: GraphqlEndpoint,
  rules: SubgraphHeaders | undefined,
  context: RequestContext,
): string[] {
  const headers: string[] = [];
  for (const name of endpoint.forwardHeaders ?? []) {
    const value = context.headers[name.toLowerCase()];
    if (typeof value === 'string') headers.push(name.toLowerCase(), value);
  }
  const own = ['content-type', 'application/json', 'accept', accept];
  if (rules?.apply == null) return own.concat(headers);
  // What the body is, and what may come back, is not for rules to say.
  const ruled = filterHeaders(rules.apply(headers, context, ''), (name) => !ofTheBody.has(name));
  return own.concat(ruled);
}

/** A GraphQL answer may come with an error status (GraphQL over HTTP, section 6.4); what counts is whether it is one. */
function parseAnswer(service: string, answer: ReceivedAnswer): ExecutionResult {
  try {
    const parsed: unknown = JSON.parse(answer.text);
    if (typeof parsed === 'object' && parsed !== null && ('data' in parsed || 'errors' in parsed)) {
      return (answer.isPlain ? Object.assign(parsed, { [plainText]: true }) : parsed) as ExecutionResult;
    }
  } catch (cause) {
    throw notGraphql(service, answer.status, cause);
  }
  throw notGraphql(service, answer.status, undefined);
}

function notGraphql(service: string, status: number, cause: unknown): GatewayError {
  const message = `Service ${service} answered with status ${status} and no GraphQL result`;
  return new GatewayError('DOWNSTREAM_SERVICE_ERROR', message, { service, cause });
}
