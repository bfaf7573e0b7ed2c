/** Runs an operation by its query plan, in this process: a fixture that crashes the planner should crash its test. */
import { QueryPlanner } from '@graphql-hive/router-query-planner';
import { buildSchema, type GraphQLError, parse } from 'graphql';
import { compilePlan } from '../../schema/plan-compiler.ts';
import { buildPossibleTypes } from '../../schema/plan-types.ts';
import type { Run } from './fixture.ts';

export async function runPlanned({
  graph,
  call,
  query,
  variables,
  context,
  draw,
}: Run): Promise<{ data: unknown; errors: readonly GraphQLError[] }> {
  const document = parse(query);
  const planner = new QueryPlanner(graph.supergraphSdl);
  const operation = compilePlan({
    plan: planner.plan(query, undefined, new Set(), draw),
    document,
    schema: buildSchema(graph.publicSdl),
    execute: call,
    subgraphErrors: 'pass',
    possibleTypes: buildPossibleTypes(buildSchema(graph.supergraphSdl, { assumeValidSDL: true })),
  });
  const { data, errors } = await operation.execute(variables, context);
  return { data: JSON.parse(data), errors };
}
