/** An operation whose plan is known and compiled: what the planned engine runs. */
import type { GraphQLError } from 'graphql';
import type { RequestContext } from '../policies/request-context.ts';
import type { PlanOutline } from './plan-outline.ts';

/** The answer of a planned operation, serialized while it was projected. */
export interface PlannedResult {
  /** JSON of `data`: an object, or `null` when a null travelled up to the root. */
  readonly data: string;
  /** In no particular order; paths and codes as the stitched engine gives them. Empty when all went well. */
  readonly errors: readonly GraphQLError[];
}

export interface PlannedOperation {
  /** Which services it asks, in what order. */
  readonly outline?: PlanOutline;
  /** Runs it. Rejects only for what no part of an answer can be made of: a variable of the wrong type (BAD_REQUEST). */
  execute(variables: Readonly<Record<string, unknown>>, context: RequestContext): Promise<PlannedResult>;
}
