/**
 * The last look at a GraphQL answer: every error gets a code of the error table, a request id, and nothing that must stay
 * inside. It stands in for Yoga's masking, which turns an outage into INTERNAL_SERVER_ERROR and does not know the request.
 */
import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import {
  type ErrorCode,
  errorHeaders,
  errorKinds,
  GatewayError,
  toGatewayError,
  toGraphQLError,
} from '../policies/errors.ts';
import type { GraphqlContext, RequestContext } from '../policies/request-context.ts';

interface Result {
  readonly data?: unknown;
  readonly errors?: readonly unknown[];
  readonly extensions?: Record<string, unknown>;
}

/** How errors leave. */
export interface ErrorContract {
  readonly onUnexpected: UnexpectedErrorListener;
  /** Whether errors say which name of the schema was perhaps meant. @default true */
  readonly suggestions?: boolean;
}

/** What the error contract tells the outside about an error that nobody expected. */
export type UnexpectedErrorListener = (error: unknown, context: RequestContext) => void;

/**
 * Yoga plugin: shapes every error on its way out, also those of parsing and validation. Runs on `onResultProcess`, which
 * every answer passes, whoever made it.
 */
export function useErrorContract(contract: ErrorContract): Plugin<object, GraphqlContext> {
  return {
    onResultProcess({ result, setResult, serverContext }) {
      const shape = (one: Result) => shapeResult(one, serverContext.gateway, contract);
      if (Array.isArray(result)) setResult(result.map(shape) as typeof result);
      else if (hasErrors(result)) setResult(shape(result) as typeof result);
    },
  };
}

function hasErrors(result: unknown): result is Result {
  return typeof result === 'object' && result !== null && 'errors' in result && Array.isArray(result.errors);
}

/** An answer with the errors that leave; the same object when it has none. */
export function shapeResult(result: Result, context: RequestContext, contract: ErrorContract): Result {
  if (!hasErrors(result)) return result;
  // Whoever put them there: an answer with errors is not for caches on the way.
  context.freshness = undefined;
  const { data, errors = [] } = result;
  const answer: AnswerScope = {
    // Where there is data the answer is a success, whatever else it tells (GraphQL over HTTP, section 6.4).
    failed: data === null || data === undefined,
    executed: 'data' in result,
    context,
    ...contract,
    extensions: new Map(),
  };
  return { ...result, errors: errors.map((error) => shapeError(error, answer)) };
}

/** What the errors of one answer have in common. */
interface AnswerScope extends ErrorContract {
  readonly failed: boolean;
  readonly executed: boolean;
  readonly context: RequestContext;
  /** By error of ours: one outage may stand at hundreds of paths. */
  readonly extensions: Map<GatewayError, GraphQLError['extensions']>;
}

/**
 * One error as the client gets it. A new object: errors of the validation cache are shared between requests. A
 * GraphQLError, with its stack, is made only where Yoga has to read a status from it.
 */
function shapeError(thrown: unknown, answer: AnswerScope): GraphQLError | GraphQLFormattedError {
  const { failed, executed, context, onUnexpected } = answer;
  const error =
    thrown instanceof GraphQLError ? thrown : new GraphQLError(String(thrown), { originalError: thrown as Error });
  const ours = findGatewayError(error);
  const code = ours?.code ?? classifyError(error, executed);
  if (code === 'INTERNAL_SERVER_ERROR') onUnexpected(error.originalError ?? error, context);
  if (isErrorCode(code)) context.errorCode ??= code;
  const { http, ...extensions } = buildExtensions(error, ours, code, answer);
  const own = answer.suggestions === false ? withoutSuggestion(error.message) : error.message;
  const message = code === 'INTERNAL_SERVER_ERROR' ? errorKinds[code].title : own;
  const { locations, path } = error;
  if (!failed) return { message, ...(locations && { locations }), ...(path && { path }), extensions };
  const status = buildHttp(ours, code, executed, http);
  return new GraphQLError(message, {
    nodes: error.nodes ?? null,
    source: error.source ?? null,
    positions: error.positions ?? null,
    path: path ?? null,
    extensions: { ...extensions, ...(status !== undefined && { http: status }) },
  });
}

/** Of graphql-js: ` Did you mean "name" or "names"?`, always at the end. It tells names of the schema to who may only guess. */
function withoutSuggestion(message: string): string {
  const start = message.endsWith('?') ? message.lastIndexOf(' Did you mean ') : -1;
  return start < 0 ? message : message.slice(0, start);
}

function buildExtensions(error: GraphQLError, ours: GatewayError | undefined, code: string, answer: AnswerScope) {
  const { context, extensions } = answer;
  if (ours === undefined) {
    return { ...(code === 'INTERNAL_SERVER_ERROR' ? {} : error.extensions), code, requestId: context.id };
  }
  const known = extensions.get(ours) ?? toGraphQLError(ours, context.id).extensions;
  extensions.set(ours, known);
  return known;
}

type Http = GraphQLError['extensions']['http'];

/**
 * The part that Yoga turns into status and headers. `spec` lets clients of plain `application/json` have their 200 for
 * all that the validator or the executor said; refusals from before that keep their status.
 */
function buildHttp(ours: GatewayError | undefined, code: string, executed: boolean, given: Http): Http {
  if (ours === undefined && given !== undefined) return given;
  const { status } = ours ?? errorKinds[isErrorCode(code) ? code : 'DOWNSTREAM_SERVICE_ERROR'];
  return { status, spec: executed || ours === undefined, ...(ours !== undefined && { headers: errorHeaders(ours) }) };
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorKinds, code);
}

/**
 * The code of an error that is not ours: the one it names, or what its kind says. An error of graphql-js without a path
 * (bad variables, an unknown operation name) is the client's mistake.
 */
function classifyError(error: GraphQLError, executed: boolean): string {
  const foreign = findForeignError(error);
  // A service left out what its schema promises. Executors throw a plain error for it, without a code.
  if (foreign?.message.startsWith('Cannot return null for non-nullable field') === true)
    return 'DOWNSTREAM_SERVICE_ERROR';
  if (foreign !== undefined) return 'INTERNAL_SERVER_ERROR';
  const named = error.extensions['code'];
  if (typeof named === 'string') return named;
  if (!executed || error.path === undefined) return 'BAD_REQUEST';
  return 'DOWNSTREAM_SERVICE_ERROR';
}

/** Our own error in a chain of `originalError`s: stitching wraps what an executor throws, once per level. */
export function findGatewayError(error: unknown): GatewayError | undefined {
  for (let depth = 0, current: unknown = error; depth < 10 && current instanceof Error; depth++) {
    if (current instanceof GatewayError) return current;
    current = current instanceof GraphQLError ? current.originalError : undefined;
  }
  return undefined;
}

function findForeignError(error: GraphQLError): Error | undefined {
  let current: Error | undefined = error;
  for (let depth = 0; depth < 10 && current instanceof GraphQLError; depth++) current = current.originalError;
  return current;
}

/** The answer to a request that ended before Yoga saw it: a refusal in the form that GraphQL clients read. */
export function buildRefusal(
  thrown: unknown,
  context: RequestContext,
): { status: number; headers: string[]; body: string } {
  const error = toGatewayError(thrown);
  const { message, extensions } = toGraphQLError(error, context.id).toJSON();
  const { http: _, ...visible } = extensions ?? {};
  const accepts = String(context.headers.accept ?? '').includes('application/graphql-response+json');
  return {
    status: error.status,
    headers: [
      'content-type',
      `${accepts ? 'application/graphql-response+json' : 'application/json'}; charset=utf-8`,
      'cache-control',
      'no-store',
      ...Object.entries(errorHeaders(error)).flat(),
    ],
    body: JSON.stringify({ errors: [{ message, extensions: visible }] }),
  };
}
