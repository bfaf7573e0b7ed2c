/** Aliases that are names of fields, on their way through the stitched engine: see schema/alias-guard.ts. */
import { type DocumentNode, type ExecutionResult, GraphQLError, type GraphQLSchema } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { GraphqlContext } from '../policies/request-context.ts';
import { guardAliases, listFieldNames, unguard } from '../schema/alias-guard.ts';

/** Yoga plugin: executes with guarded aliases where there are any, and gives the client its own names back. */
export function useGuardedAliases(schema: GraphQLSchema): Plugin<object, GraphqlContext> {
  const fieldNames = listFieldNames(schema);
  // Documents come from the parser's cache, so each is looked at once.
  const guardedBy = new WeakMap<DocumentNode, DocumentNode>();
  function guardOnce(document: DocumentNode): DocumentNode {
    const guarded = guardedBy.get(document) ?? guardAliases(document, fieldNames);
    guardedBy.set(document, guarded);
    return guarded;
  }
  return {
    onExecute({ args, executeFn, setExecuteFn }) {
      if (guardOnce(args.document) === args.document) return;
      // Looked up again: it may be a part of the document that is executed.
      setExecuteFn(async (own) => unguardResult(await executeFn({ ...own, document: guardOnce(own.document) })));
    },
  };
}

function unguardResult(result: ExecutionResult): ExecutionResult {
  return {
    ...result,
    ...(result.data && { data: unguardValue(result.data) as Record<string, unknown> }),
    ...(result.errors && { errors: result.errors.map(unguardError) }),
  };
}

function unguardValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unguardValue);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [unguard(key), unguardValue(inner)]));
}

function unguardError(error: GraphQLError): GraphQLError {
  return new GraphQLError(error.message, {
    nodes: error.nodes ?? null,
    source: error.source ?? null,
    positions: error.positions ?? null,
    path: error.path?.map((segment) => (typeof segment === 'string' ? unguard(segment) : segment)) ?? null,
    originalError: error,
    extensions: error.extensions,
  });
}
