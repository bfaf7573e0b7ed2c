/** A compiler for plans of which every step is a fetch at the root: enough to see who answers an operation. */
import type { ExecutionResult, GraphQLError } from 'graphql';
import { toGatewayError, toGraphQLError } from '../../policies/errors.ts';
import type { CompilePlan } from '../../schema/planned-engine.ts';
import type { FetchNode, QueryPlan } from '../../schema/query-plan.ts';
import { normalizeResult } from '../../schema/subgraph-errors.ts';

export const compileSingleFetch: CompilePlan = ({ plan, execute, subgraphErrors }) => {
  const fetches = listFetches(plan);
  return {
    async execute(variables, context) {
      const results = await Promise.all(
        fetches.map(
          async ({ serviceName, operation, operationKind, variableUsages = [] }): Promise<ExecutionResult> => {
            const used = Object.fromEntries(
              Object.entries(variables).filter(([name]) => variableUsages.includes(name)),
            );
            try {
              const result = await execute(
                {
                  service: serviceName,
                  query: operation,
                  variables: used,
                  operationName: undefined,
                  operationType: operationKind ?? 'query',
                },
                context,
              );
              return normalizeResult(serviceName, result, { pass: subgraphErrors === 'pass' });
            } catch (error) {
              return { data: null, errors: [toGraphQLError(toGatewayError(error), context.id)] };
            }
          },
        ),
      );
      const data = Object.assign({}, ...results.map((result) => result.data ?? {}));
      return { data: JSON.stringify(data), errors: results.flatMap(({ errors = [] }) => errors as GraphQLError[]) };
    },
  };
};

function listFetches({ node }: QueryPlan): FetchNode[] {
  if (node === undefined) return [];
  const nodes = node.kind === 'Parallel' ? node.nodes : [node];
  return nodes.map((step) => {
    if (step.kind !== 'Fetch') throw new Error(`no compiler for ${step.kind}`);
    return step;
  });
}
