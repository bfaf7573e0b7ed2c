/** What one execution of a plan knows, and what all steps of one plan share. */
import type { ExecutionResult } from 'graphql';
import type { RequestContext } from '../policies/request-context.ts';
import type { SubgraphExecutor, SubgraphRequest } from './graph.ts';
import { PathErrors } from './plan-errors.ts';
import type { JsonObject } from './plan-paths.ts';
import type { FitsType } from './plan-types.ts';
import { normalizeResult } from './subgraph-errors.ts';

/** One execution. */
export interface PlanRun {
  readonly context: RequestContext;
  /** Coerced, without prototype. */
  readonly variables: JsonObject;
  /** What the services answered so far, merged. */
  data: JsonObject;
  /** Null as long as nothing failed: then nobody has to know any paths. */
  errors: PathErrors | null;
  /** Objects that stand in several places of `data`; what they are written as is kept here by the writer. */
  readonly shared: Map<object, unknown>;
  /** Whether every answer so far was {@link plainText}. */
  plain: boolean;
}

/**
 * A transport sets this on an answer in whose text there was no backslash, which costs it next to nothing to find out.
 * No string of such an answer has a character that JSON would have to escape.
 */
export const plainText: unique symbol = Symbol('plainText');

/** One step of a plan. It never rejects: what fails is noted in the run. Undefined when it had nothing to wait for. */
export type Step = (run: PlanRun) => Promise<void> | undefined;

export interface StepOptions {
  readonly execute: SubgraphExecutor;
  readonly passSubgraphErrors: boolean;
  readonly fits: FitsType;
  /** Every path at which some step of the plan looks entities up. */
  readonly targets: readonly TargetPath[];
}

/** Where an entity fetch writes to. */
export interface TargetPath {
  /** The same for all paths whose entities are fetched by the same selection. */
  readonly fetch: string;
  /** Segments in a comparable form. */
  readonly segments: readonly string[];
}

/** The errors of a run, which exist from the first one on. */
export function errorsOf(run: PlanRun): PathErrors {
  run.errors ??= new PathErrors();
  return run.errors;
}

/** Asks a service. Throws a GatewayError when no answer came, or none that is GraphQL. */
export async function askService(
  run: PlanRun,
  request: SubgraphRequest,
  { execute, passSubgraphErrors }: StepOptions,
): Promise<ExecutionResult> {
  const result: ExecutionResult & { readonly [plainText]?: true } = await execute(request, run.context);
  // Also of what is no answer at all: it may be null.
  if (result?.[plainText] !== true) run.plain = false;
  return normalizeResult(request.service, result, { pass: passSubgraphErrors });
}
