/** Which services a plan asks, and in what order: what is left of it when it has been compiled. */
import { UnsupportedPlanError } from './plan-errors.ts';
import type { PlanNode } from './query-plan.ts';

export type PlanOutline =
  | { readonly ask: string; readonly kind: 'root' | 'entities' }
  | { readonly sequence: readonly PlanOutline[] }
  | { readonly parallel: readonly PlanOutline[] };

/** The outline of a plan; empty for one that asks nobody. Both sides of a condition are in it. */
export function buildPlanOutline(node: PlanNode | undefined | null): PlanOutline {
  if (node === undefined || node === null) return { parallel: [] };
  switch (node.kind) {
    case 'Fetch':
      return { ask: node.serviceName, kind: (node.requires ?? []).length === 0 ? 'root' : 'entities' };
    case 'BatchFetch':
      return { ask: node.serviceName, kind: 'entities' };
    case 'Flatten':
      return buildPlanOutline(node.node);
    case 'Sequence':
      return { sequence: node.nodes.map(buildPlanOutline) };
    case 'Parallel':
      return { parallel: node.nodes.map(buildPlanOutline) };
    case 'Condition':
      return { parallel: [node.ifClause, node.elseClause].flatMap((side) => (side ? [buildPlanOutline(side)] : [])) };
    default:
      throw new UnsupportedPlanError(`A plan with a ${node.kind} node`);
  }
}
