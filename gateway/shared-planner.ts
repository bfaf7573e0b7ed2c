/** One planner for several workers: each document is planned once, however many of them ask. */
import type { Planner, PlanOutcome } from '../schema/planner.ts';

export interface SharedPlanner {
  /** A graph that workers may ask about from now on. */
  add(graph: { readonly id: string; readonly supergraphSdl: string }): void;
  plan(graph: string, document: string): Promise<PlanOutcome>;
}

/** The serving graph, those before it that requests in flight may still need, and some that come back. */
const maxGraphs = 4;
/** Plans are kept until every worker has asked; later ones come from the workers' own caches. */
const maxPlans = 1_000;

export function createSharedPlanner(planner: Planner): SharedPlanner {
  const graphs = new Map<string, { readonly id: string; readonly supergraphSdl: string }>();
  const plans = new Map<string, Promise<PlanOutcome>>();
  return {
    add({ id, supergraphSdl }) {
      graphs.delete(id);
      graphs.set(id, { id, supergraphSdl });
      for (const oldest of graphs.keys()) if (graphs.size > maxGraphs) graphs.delete(oldest);
    },
    async plan(id, document) {
      const graph = graphs.get(id);
      if (graph === undefined) return { kind: 'unavailable' };
      const key = `${id}\n${document}`;
      const known = plans.get(key);
      if (known !== undefined) return known;
      const making = planner.plan({ graph, document });
      plans.set(key, making);
      for (const oldest of plans.keys()) if (plans.size > maxPlans) plans.delete(oldest);
      const outcome = await making;
      if (outcome.kind === 'unavailable') plans.delete(key);
      return outcome;
    },
  };
}
