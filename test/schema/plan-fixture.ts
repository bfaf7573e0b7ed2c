/** Federated services in memory, and an operation run by both engines over them. */
import assert from 'node:assert/strict';
import { QueryPlanner } from '@graphql-hive/router-query-planner';
import {
  buildSchema,
  type ExecutionResult,
  type GraphQLError,
  type GraphQLSchema,
  graphql,
  parse,
  print,
  visit,
} from 'graphql';
import { GatewayError } from '../../policies/errors.ts';
import type { RequestContext } from '../../policies/request-context.ts';
import { composeGraph } from '../../schema/composition.ts';
import { composeSupergraph, type Supergraph } from '../../schema/federation.ts';
import type { Graph, SubgraphExecutor, SubgraphRequest } from '../../schema/graph.ts';
import { compilePlan } from '../../schema/plan-compiler.ts';
import type { PlannedOperation } from '../../schema/planned-operation.ts';
import type { QueryPlan } from '../../schema/query-plan.ts';
import { parseSdl } from '../../schema/sdl.ts';
import { buildService, buildSubgraphSource, runQuery, type SubgraphSource } from './subgraph-server.ts';

/** Stands in for a service: an answer of its own, or nothing to let the service answer. */
export type Hook = (request: SubgraphRequest) => unknown;

export interface Answer {
  readonly data: unknown;
  readonly errors: readonly GraphQLError[];
}

export interface Federation {
  readonly schema: GraphQLSchema;
  readonly graph: Graph;
  readonly requests: SubgraphRequest[];
  plan(query: string): QueryPlan;
  compile(query: string, options?: { plan?: QueryPlan; subgraphErrors?: 'pass' | 'mask' }): PlannedOperation;
  runPlanned(query: string, variables?: Record<string, unknown>): Promise<Answer>;
  runStitched(query: string, variables?: Record<string, unknown>): Promise<Answer>;
}

export const context = { id: 'test', attempts: [] } as unknown as RequestContext;

export function down(): never {
  throw new GatewayError('SERVICE_UNAVAILABLE', undefined, { service: 'down' });
}

export function composeFederation(sources: readonly SubgraphSource[], hooks: Record<string, Hook> = {}): Federation {
  const supergraph = composeSupergraph(sources.map(({ name, sdl }) => ({ name, document: parseSdl(sdl, name) })));
  assert.ok('sdl' in supergraph, JSON.stringify(supergraph));
  const requests: SubgraphRequest[] = [];
  const execute = createExecutor(sources, hooks, requests);
  const planner = new QueryPlanner((supergraph as Supergraph).sdl);
  const graph = composeGraph(sources.map(buildService), execute);
  // Not of the composition's own document, whose unions still name their inaccessible members.
  const schema = buildSchema(graph.publicSdl);
  const plan = (query: string): QueryPlan => {
    const planned = withoutIntrospection(query);
    return planned === null ? { kind: 'QueryPlan' } : planner.plan(planned, undefined, new Set(), 100);
  };
  const compile: Federation['compile'] = (query, options = {}) =>
    compilePlan({
      plan: options.plan ?? plan(query),
      document: parse(query),
      schema,
      execute,
      subgraphErrors: options.subgraphErrors ?? 'pass',
    });
  return {
    schema,
    graph,
    requests,
    plan,
    compile,
    async runPlanned(query, variables = {}) {
      const { data, errors } = await compile(query).execute(variables, context);
      return { data: JSON.parse(data), errors };
    },
    async runStitched(query, variables) {
      const { data, errors = [] } = await runQuery(graph, query, variables);
      return { data: JSON.parse(JSON.stringify(data)), errors };
    },
  };
}

/** As the engine does: the planner does not know introspection. Null when nothing else is asked for. */
function withoutIntrospection(query: string): string | null {
  let left = 0;
  const document = visit(parse(query), {
    OperationDefinition: {
      leave: ({ selectionSet }) => {
        left = selectionSet.selections.length;
      },
    },
    Field: ({ name }) => (name.value === '__schema' || name.value === '__type' ? null : undefined),
  });
  return left === 0 ? null : print(document);
}

function createExecutor(
  sources: readonly SubgraphSource[],
  hooks: Record<string, Hook>,
  requests: SubgraphRequest[],
): SubgraphExecutor {
  const schemas = new Map(sources.map((source) => [source.name, buildSubgraphSource(source)]));
  return async (request) => {
    requests.push(JSON.parse(JSON.stringify(request)));
    const given: unknown = await hooks[request.service]?.(request);
    if (given !== undefined) return JSON.parse(JSON.stringify(given)) as ExecutionResult;
    const schema = schemas.get(request.service);
    assert.ok(schema, `nobody serves ${request.service}`);
    const result = await graphql({ schema, source: request.query, variableValues: request.variables });
    return JSON.parse(JSON.stringify(result)) as ExecutionResult;
  };
}

/** `path code` of each error, sorted: what two engines have to agree on. */
export function describeErrors(errors: readonly GraphQLError[]): string[] {
  return errors.map((error) => `${error.path?.join('.')} ${findCode(error)}`).toSorted();
}

function findCode(error: GraphQLError): unknown {
  for (let current: unknown = error; current instanceof Error; ) {
    if (current instanceof GatewayError) return current.code;
    current = 'originalError' in current ? current.originalError : undefined;
  }
  return error.extensions['code'];
}

/** Runs the operation on both engines, and gives the answer that they must agree on. */
export async function runBoth(
  federation: Federation,
  query: string,
  variables: Record<string, unknown> = {},
): Promise<Answer> {
  const planned = await federation.runPlanned(query, variables);
  const stitched = await federation.runStitched(query, variables);
  assert.deepEqual(planned.data, stitched.data, query);
  assert.deepEqual(describeErrors(planned.errors), describeErrors(stitched.errors), query);
  return planned;
}
