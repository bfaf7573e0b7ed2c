/** Persisted operations at the GraphQL door: ids become documents before anything else is done with the request. */
import { GraphQLError } from 'graphql';
import type { GraphQLParams, Plugin } from 'graphql-yoga';
import { GatewayError, toGraphQLError } from './errors.ts';
import {
  type OperationParams,
  type PersistedOperations,
  type ResolvedOperation,
  UnknownAutomaticQuery,
} from './persisted-operations.ts';
import type { GraphqlContext } from './request-context.ts';

/** A Yoga plugin, for single operations, batches, GET and POST alike. */
export function usePersistedOperations(operations: PersistedOperations): Plugin<object, GraphqlContext> {
  return {
    onRequestParse({ request, requestParser, setRequestParser }) {
      if (request.method !== 'GET' || requestParser === undefined) return;
      setRequestParser(async (asked) => withIds(await requestParser(asked), asked.url));
    },
    onParams({ params, setParams, context }) {
      // A batch may hold anything; what is no operation Yoga refuses.
      // A document that is trusted already is one of the configuration, not of a client.
      if (context.isTrusted === true) return undefined;
      if (context.isRefused === true || typeof params !== 'object' || params === null) return undefined;
      const use = (resolved: ResolvedOperation | null): void => {
        if (resolved === null) return;
        const { variables, operationName, extensions } = params;
        context.isTrusted = resolved.isTrusted;
        if (resolved.registers !== undefined) context.registers = resolved.registers;
        setParams({
          query: resolved.text,
          ...(variables !== undefined && { variables }),
          ...(operationName !== undefined && { operationName }),
          ...(extensions !== undefined && { extensions }),
        });
      };
      const fail = (thrown: unknown): never => {
        throw toAnswer(thrown, context.gateway.id);
      };
      try {
        const resolved = operations.resolve(params as OperationParams, context.gateway);
        return resolved instanceof Promise ? resolved.then(use).catch(fail) : use(resolved);
      } catch (thrown) {
        return fail(thrown);
      }
    },
    /** Only what is valid and within the limits is worth a place. */
    onExecute({ args }) {
      const { registers } = args.contextValue as unknown as GraphqlContext;
      if (registers !== undefined) operations.register(registers);
    },
  };
}

function toAnswer(thrown: unknown, requestId: string): unknown {
  if (thrown instanceof UnknownAutomaticQuery) {
    return new GraphQLError(thrown.message, {
      extensions: {
        code: 'PERSISTED_QUERY_NOT_FOUND',
        // A step of the protocol, that older clients look for in an answer with 200; and no cache may keep it.
        http: { status: 400, spec: true, headers: { 'cache-control': 'private, no-cache, must-revalidate' } },
      },
    });
  }
  return thrown instanceof GatewayError ? toGraphQLError(thrown, requestId) : thrown;
}

type Parsed = GraphQLParams | GraphQLParams[] | Response;

/** Yoga reads the usual parameters of a GET only. */
function withIds<Result extends Parsed>(parsed: Result, url: string): Result {
  if (Array.isArray(parsed) || 'status' in parsed || !/[?&](documentId|id)=/.test(url)) return parsed;
  const search = new URLSearchParams(url.slice(url.indexOf('?') + 1));
  const [documentId, id] = [search.get('documentId'), search.get('id')];
  return { ...parsed, ...(documentId !== null && { documentId }), ...(id !== null && { id }) };
}
