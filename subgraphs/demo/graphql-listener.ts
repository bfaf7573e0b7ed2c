/**
 * GraphQL over HTTP in as little as it takes. The demo starts nine processes on one machine: a server framework would
 * double the time until the first answer.
 */
import type { RequestListener, ServerResponse } from 'node:http';
import {
  type DocumentNode,
  type ExecutionResult,
  execute,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  parse,
  validate,
} from 'graphql';
import { readRequestText } from './request-text.ts';

/** What resolvers see of a request. */
export interface DemoContext {
  /** Who asks, as the gateway says. */
  readonly userId: string | undefined;
}

interface GraphqlRequest {
  readonly query: string;
  readonly variables: Record<string, unknown>;
  readonly operationName: string | undefined;
}

/** A gateway sends the same few documents over and over. */
const maxDocuments = 500;

/** Answers `POST /graphql`. `rootValue` holds resolvers of root fields for schemas that carry none. */
export function createGraphqlListener(schema: GraphQLSchema, rootValue?: unknown): RequestListener {
  const documents = new Map<string, DocumentNode>();
  return async (request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (path !== '/graphql') return answer(response, 404, { errors: [{ message: 'GraphQL is at /graphql' }] });
    if (request.method !== 'POST') {
      response.setHeader('allow', 'POST');
      return answer(response, 405, { errors: [{ message: 'expected POST' }] });
    }
    const body = parseRequest(await readRequestText(request).catch(() => null));
    if (body === null) return answer(response, 400, { errors: [{ message: 'expected JSON with a query' }] });
    const userId = request.headers['x-user-id'];
    const context: DemoContext = { userId: typeof userId === 'string' ? userId : undefined };
    answer(response, 200, await run(schema, rootValue, documents, body, context));
  };
}

async function run(
  schema: GraphQLSchema,
  rootValue: unknown,
  documents: Map<string, DocumentNode>,
  { query, variables, operationName }: GraphqlRequest,
  contextValue: DemoContext,
): Promise<ExecutionResult> {
  let document = documents.get(query);
  if (document === undefined) {
    try {
      document = parse(query, { maxTokens: 10_000 });
    } catch (error) {
      return { errors: [error instanceof GraphQLError ? error : new GraphQLError(String(error))] };
    }
    const errors = validate(schema, document);
    if (errors.length > 0) return { errors };
    if (documents.size >= maxDocuments) documents.clear();
    documents.set(query, document);
  }
  if (getOperationAST(document, operationName)?.operation === 'subscription') {
    return { errors: [new GraphQLError('subscriptions are not served')] };
  }
  return await execute({ schema, document, rootValue, contextValue, variableValues: variables, operationName });
}

function parseRequest(text: string | null): GraphqlRequest | null {
  if (text === null) return null;
  try {
    const { query, variables, operationName } = JSON.parse(text);
    if (typeof query !== 'string') return null;
    return { query, variables: variables ?? {}, operationName: operationName ?? undefined };
  } catch {
    return null;
  }
}

function answer(response: ServerResponse, status: number, result: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(result));
}
