/** The way from stitching to a service: one request of stitching becomes one {@link SubgraphRequest}. */
import type { Executor } from '@graphql-tools/utils';
import {
  type DocumentNode,
  type ExecutionResult,
  GraphQLError,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
  print,
  type SelectionSetNode,
} from 'graphql';
import { GatewayError } from '../policies/errors.ts';
import type { GraphqlContext } from '../policies/request-context.ts';
import type { SubgraphExecutor } from './graph.ts';
import { normalizeResult, type SubgraphErrorOptions } from './subgraph-errors.ts';

/** An executor for the subschemas of a service. Failures of `execute` pass as they are: they carry their code. */
export function createSubgraphExecutor(
  service: string,
  execute: SubgraphExecutor,
  errors: SubgraphErrorOptions,
): Executor<Partial<GraphqlContext>> {
  const printed = new WeakMap<DocumentNode, string>();
  function printOnce(document: DocumentNode): string {
    const text = printed.get(document) ?? print(document);
    printed.set(document, text);
    return text;
  }
  return async (request) => {
    const operation = getOperationAST(request.document, null);
    // Without the context of a request, stitching would batch the requests of different viewers together.
    if (request.context?.gateway === undefined || operation == null) throw new GatewayError('INTERNAL_SERVER_ERROR');
    const operationType = request.operationType ?? operation.operation;
    if (operationType === 'subscription') throw new GatewayError('BAD_REQUEST', 'Subscriptions are not supported');
    const result: unknown = await execute(
      {
        service,
        query: printOnce(request.document),
        variables: request.variables,
        operationName: operation.name?.value,
        operationType,
      },
      request.context.gateway,
    );
    // biome-ignore lint/suspicious/noExplicitAny: Executor is generic over a result that only the caller knows.
    return keepRequested(normalizeResult(service, result, errors), operation, request.document) as any;
  };
}

/**
 * Without what was not asked for: stitching splits batched answers by the prefixes of their keys, and would fail all
 * of the batch over one key or path of a service's own making.
 */
function keepRequested(
  result: ExecutionResult,
  operation: OperationDefinitionNode,
  document: DocumentNode,
): ExecutionResult {
  const keys = collectResponseKeys(operation.selectionSet, document, new Set());
  const strange = Object.keys(result.data ?? {}).some((key) => !keys.has(key));
  return {
    ...result,
    ...(strange && { data: Object.fromEntries(Object.entries(result.data ?? {}).filter(([key]) => keys.has(key))) }),
    ...(result.errors !== undefined && { errors: result.errors.map((error) => withKnownPath(error, keys)) }),
  };
}

function collectResponseKeys(selectionSet: SelectionSetNode, document: DocumentNode, keys: Set<string>): Set<string> {
  for (const selection of selectionSet.selections) {
    if (selection.kind === Kind.FIELD) keys.add((selection.alias ?? selection.name).value);
    else if (selection.kind === Kind.INLINE_FRAGMENT) collectResponseKeys(selection.selectionSet, document, keys);
    else {
      const fragment = document.definitions.find(
        (node) => node.kind === Kind.FRAGMENT_DEFINITION && node.name.value === selection.name.value,
      );
      if (fragment?.kind === Kind.FRAGMENT_DEFINITION) collectResponseKeys(fragment.selectionSet, document, keys);
    }
  }
  return keys;
}

function withKnownPath(error: GraphQLError, keys: ReadonlySet<string>): GraphQLError {
  const [key] = error.path ?? [];
  return key === undefined || keys.has(String(key)) ? error : withoutPath(error);
}

function withoutPath(error: GraphQLError): GraphQLError {
  return new GraphQLError(error.message, { originalError: error.originalError, extensions: error.extensions });
}
