/** The nodes of a query plan, compiled into steps. */
import { compileEntityFetch, toEntityFetch } from './entity-fetch.ts';
import { toSegments } from './path-groups.ts';
import { UnsupportedPlanError } from './plan-errors.ts';
import type { PlanRun, Step, StepOptions, TargetPath } from './plan-run.ts';
import type { ConditionNode, FetchNode, FlattenNodePathSegment, PlanNode } from './query-plan.ts';
import { compileRootFetch } from './root-fetch.ts';

type Segments = FlattenNodePathSegment[];

/** Compiles a plan. Throws UnsupportedPlanError for what only the stitched engine can do. */
export function compileSteps(root: PlanNode | undefined | null, options: Omit<StepOptions, 'targets'>): Step {
  const targets = collectTargets(root, [], []);
  return compileNode(root, [], { ...options, targets });
}

function compileNode(node: PlanNode | undefined | null, path: Segments, options: StepOptions): Step {
  if (node === undefined || node === null) return () => undefined;
  switch (node.kind) {
    case 'Fetch':
      return compileFetch(node, path, options);
    case 'BatchFetch': {
      const { kind: _, entityBatch, ...rest } = node;
      return compileEntityFetch({ ...rest, aliases: entityBatch.aliases }, options);
    }
    case 'Flatten':
      return compileNode(node.node, [...path, ...node.path], options);
    case 'Sequence':
      return compileSequence(node.nodes.map((child) => compileNode(child, path, options)));
    case 'Parallel':
      return compileParallel(node.nodes.map((child) => compileNode(child, path, options)));
    case 'Condition':
      return compileCondition(node, path, options);
    default:
      throw new UnsupportedPlanError(`A plan with a ${node.kind} node`);
  }
}

function compileFetch(node: FetchNode, path: Segments, options: StepOptions): Step {
  if (node.operationKind === 'subscription') throw new UnsupportedPlanError('A plan with a subscription');
  if ((node.requires ?? []).length === 0) return compileRootFetch(node, path, options);
  return compileEntityFetch(toEntityFetch(node, path), options);
}

function compileCondition(node: ConditionNode, path: Segments, options: StepOptions): Step {
  const { condition } = node;
  const whenTrue = compileNode(node.ifClause, path, options);
  const whenFalse = compileNode(node.elseClause, path, options);
  return (run) => (run.variables[condition] === true ? whenTrue(run) : whenFalse(run));
}

/** Also mutations are in series by this (GraphQL specification, section 6.2.2). */
function compileSequence(steps: readonly Step[]): Step {
  const [only] = steps;
  if (only !== undefined && steps.length === 1) return only;
  return async (run) => {
    for (const step of steps) {
      const pending = step(run);
      if (pending !== undefined) await pending;
    }
  };
}

function compileParallel(steps: readonly Step[]): Step {
  const [only] = steps;
  if (only !== undefined && steps.length === 1) return only;
  return (run: PlanRun) => {
    const pending: Promise<void>[] = [];
    for (const step of steps) {
      const promise = step(run);
      if (promise !== undefined) pending.push(promise);
    }
    return pending.length > 1 ? Promise.all(pending).then(() => undefined) : pending[0];
  };
}

function collectTargets(node: PlanNode | undefined | null, path: Segments, targets: TargetPath[]): TargetPath[] {
  if (node === undefined || node === null) return targets;
  if (node.kind === 'Flatten') return collectTargets(node.node, [...path, ...node.path], targets);
  if (node.kind === 'Fetch' && path.length > 0) {
    targets.push({ fetch: String(targets.length), segments: toSegments(path) });
  } else if (node.kind === 'BatchFetch') {
    for (const { paths } of node.entityBatch.aliases) {
      const fetch = String(targets.length);
      targets.push(...paths.map((one) => ({ fetch, segments: toSegments(one) })));
    }
  } else if (node.kind === 'Sequence' || node.kind === 'Parallel') {
    for (const child of node.nodes) collectTargets(child, path, targets);
  } else if (node.kind === 'Condition') {
    collectTargets(node.ifClause, path, targets);
    collectTargets(node.elseClause, path, targets);
  }
  return targets;
}
