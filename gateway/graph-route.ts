/**
 * REST from the graph: a route answers with a trusted document, which runs through the same pipeline as every operation
 * (limits, authorization, cache, either engine). Each new graph says anew whether the document still fits.
 */

import type { HTTPMethod } from 'find-my-way';
import { type GraphQLSchema, specifiedRules, validate } from 'graphql';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { answerResult } from './graph-route-answer.ts';
import { type GraphRoute, readOperation } from './graph-route-options.ts';
import { listSources, readVariables, type VariableSource } from './graph-route-variables.ts';
import type { ErrorContract } from './graphql-errors.ts';
import type { OwnExchange } from './own-answer.ts';
import { buildOwnGate, type GateSettings, type OwnOutcome, type OwnRoute } from './own-routes.ts';
import { listParams } from './path-params.ts';
import { runPlainOperation } from './plain-operation.ts';
import { readBody } from './request-body.ts';

type Operation = ReturnType<typeof readOperation>;

/** A route with its document, as it fits a graph. */
export interface BoundRoute extends Operation {
  /** `GET /rest/orders/:id` */
  readonly key: string;
  readonly method: HTTPMethod;
  readonly path: string;
  readonly options: GraphRoute;
  readonly sources: readonly VariableSource[];
  /** Why the graph cannot answer it; empty when it can. */
  readonly misfits: readonly ErrorReason[];
}

/** Binds all routes to a graph. Nothing throws: what does not fit says why. */
export function bindGraphRoutes(routes: Readonly<Record<string, GraphRoute>>, schema: GraphQLSchema): BoundRoute[] {
  return Object.entries(routes).map(([key, options]) => {
    const [method = 'GET', path = '/'] = key.split(' ');
    const read = readOperation(options);
    const misfits: ErrorReason[] = validate(schema, read.document, specifiedRules, { maxErrors: 10 }).map(
      ({ message }) => ({ message }),
    );
    let sources: VariableSource[] = [];
    if (misfits.length === 0) {
      try {
        const { variables = {} } = options;
        const hasBody = method !== 'GET' && method !== 'DELETE';
        sources = listSources({ schema, operation: read.operation, params: listParams(path), hasBody, variables });
      } catch (error) {
        misfits.push({ message: error instanceof Error ? error.message : String(error) });
      }
    }
    return { key, method: method as HTTPMethod, path, options, ...read, sources, misfits };
  });
}

export interface GraphRouteDependencies {
  readonly schema: GraphQLSchema;
  readonly contract: ErrorContract;
  readonly maxBodyBytes: number;
}

/** The route of a bound document. */
export function buildGraphRoute(bound: BoundRoute, settings: GateSettings, parts: GraphRouteDependencies): OwnRoute {
  const { key, method, path, options } = bound;
  const methods: HTTPMethod[] = method === 'GET' ? ['GET', 'HEAD'] : [method];
  const gate = buildOwnGate({ kind: 'rest', methods, path, options }, settings);
  const refuse = () => {
    throw new GatewayError('ROUTE_DOES_NOT_FIT');
  };
  const answer = (exchange: OwnExchange) => answerByGraph(bound, parts, exchange);
  return { gate: { ...gate, label: key }, methods, path, bound, answer: bound.misfits.length > 0 ? refuse : answer };
}

async function answerByGraph(
  bound: BoundRoute,
  parts: GraphRouteDependencies,
  exchange: OwnExchange,
): Promise<OwnOutcome> {
  const { schema, contract, maxBodyBytes } = parts;
  const { operation, options, sources } = bound;
  const { context, request, generation } = exchange;
  const body = sources.some(({ from }) => from === 'body') ? await readJson(exchange, maxBodyBytes) : undefined;
  const query = new URLSearchParams(exchange.target.query);
  const values = { params: exchange.params, query, headers: request.headers, body };
  const variables = readVariables(schema, operation, sources, values);
  const label = context.name;
  const result = await runPlainOperation(
    generation.yoga,
    {
      params: { query: options.document, variables, operationName: operation.name?.value ?? null } as never,
      mediaType: 'application/graphql-response+json',
      isTrusted: true,
    },
    context,
    contract,
  );
  // The pipeline names the operation; metrics and logs of this door go by routes.
  context.name = label;
  return result === null ? 'failed' : await answerResult(result, options, exchange);
}

async function readJson({ request, context }: OwnExchange, maxBytes: number): Promise<unknown> {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  const bytes = await readBody(request, maxBytes, context);
  context.meter?.passRequest(bytes.length);
  if (bytes.length === 0) return undefined;
  // Also against pages of other sites: a form or plain text could be posted by any of them (CSRF).
  if (type !== 'application/json')
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'The body must be application/json');
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new GatewayError('BAD_REQUEST', 'The body is no JSON');
  }
}
