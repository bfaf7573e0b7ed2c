/**
 * The short way through Yoga for what nearly every request is: one operation, by POST, in JSON, answered in JSON. Without
 * Request and Response of the fetch API, which cost more than the pipeline between them. All else takes the long way, and
 * both give the same status, headers and body.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { type FetchAPI, type GraphQLParams, isAsyncIterable, processRegularResult } from 'graphql-yoga';
import type { GatewayRequest } from './context.ts';
import { type ErrorContract, shapeResult } from './graphql-errors.ts';
import type { Yoga } from './graphql-generation.ts';

export interface PlainAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const json = 'application/json';
const graphqlJson = 'application/graphql-response+json';

/** What Yoga makes of `Accept`, for the values that are common. Of types that both fit it takes the first named. */
const mediaTypes: ReadonlyMap<string | undefined, string> = new Map([
  [undefined, json],
  ['*/*', json],
  [json, json],
  ['application/json, */*', json],
  [graphqlJson, graphqlJson],
  ['application/graphql-response+json, application/json', graphqlJson],
  ['application/graphql-response+json,application/json', graphqlJson],
]);

export interface PlainOperation {
  readonly params: GraphQLParams;
  readonly mediaType: string;
  /** Whether the document is one of the operator's own, whatever clients may ask. */
  readonly isTrusted?: boolean;
}

/** The operation in the body of a POST; null for whatever should take the long way, mistakes included. */
export function parsePlainOperation(
  headers: IncomingHttpHeaders,
  body: string,
  peek: (params: GraphQLParams) => string | undefined,
): PlainOperation | null {
  const mediaType = mediaTypes.get(headers.accept);
  if (mediaType === undefined) return null;
  const params = parseJson(body);
  if (typeof params !== 'object' || params === null || Array.isArray(params)) return null;
  // What an id stands for, where it is known here without asking anybody.
  const query = (params as GraphQLParams).query ?? peek(params as GraphQLParams);
  // Subscriptions are answered as streams. The word may also be a field's name: then it is only slower.
  return typeof query === 'string' && !query.includes('subscription') ? { params, mediaType } : null;
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

/** All that plugins ask of a request: its method, and to be an object. */
const request = Object.freeze({ method: 'POST' }) as unknown as Request;

/** Runs the operation through the pipeline, and makes of the result what Yoga would. Null when the client has left. */
export async function runPlainOperation(
  yoga: Yoga,
  { params, mediaType, isTrusted }: PlainOperation,
  context: GatewayRequest,
  contract: ErrorContract,
): Promise<PlainAnswer | null> {
  let result: unknown;
  try {
    result = await yoga.getResultForParams({ params, request }, { gateway: context, isTrusted } as never);
  } catch (error) {
    result = { errors: collectErrors(error) };
  }
  if (context.departure.happened) return null;
  if (isAsyncIterable(result)) throw new TypeError('an operation that is no subscription gave a stream');
  const shaped = shapeResult(result as object, context, contract);
  return processRegularResult(shaped as never, capturing, mediaType) as unknown as CapturedResponse;
}

function collectErrors(error: unknown): unknown[] {
  return error instanceof AggregateError ? error.errors.flatMap(collectErrors) : [error];
}

/** In place of a Response: keeps what Yoga gives it. */
class CapturedResponse implements PlainAnswer {
  readonly body: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(body: string, { status, headers }: { status: number; headers: Record<string, string> }) {
    this.body = body;
    this.status = status;
    this.headers = headers;
  }
}

const capturing = { Response: CapturedResponse } as unknown as FetchAPI;
