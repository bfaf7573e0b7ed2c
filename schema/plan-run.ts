/** What one execution of a plan knows, and what all steps of one plan share. */
import type { RequestContext } from '../policies/request-context.ts';
import type { SubgraphExecutor } from './graph.ts';
import { PathErrors } from './plan-errors.ts';
import type { JsonObject } from './plan-paths.ts';
import type { FitsType } from './plan-types.ts';

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
}

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
