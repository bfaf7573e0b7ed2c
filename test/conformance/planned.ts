/** Runs an operation by its query plan, in this process: a fixture that crashes the planner should crash its test. */
import { QueryPlanner } from '@graphql-hive/router-query-planner';
import { buildSchema, type GraphQLError, parse, print } from 'graphql';
import { guardAliases, listFieldNames } from '../../schema/alias-guard.ts';
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
  const schema = buildSchema(graph.publicSdl);
  const document = guardAliases(parse(query), listFieldNames(schema));
  const planner = new QueryPlanner(graph.supergraphSdl);
  const operation = compilePlan({
    plan: planner.plan(print(document), undefined, new Set(), draw),
    document,
    schema,
    execute: call,
    subgraphErrors: 'pass',
    possibleTypes: buildPossibleTypes(buildSchema(graph.supergraphSdl, { assumeValidSDL: true })),
  });
  const { data, errors } = await operation.execute(variables, context);
  return { data: JSON.parse(data), errors };
}
