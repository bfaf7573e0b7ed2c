/** Taking turns by weight: as an algorithm, and among those that another one holds for equal. */
import type { Choice } from './balancer.ts';
import type { Candidate, CandidateGroup } from './candidate-group.ts';

/** Smooth weighted round-robin, as in nginx: a heavy instance's turns are spread over the cycle instead of in a row. */
export function pickNextByWeight<T extends Candidate>(group: CandidateGroup<T>, choice: Choice<T>): T | undefined {
  return takeTurn(group, choice, equal, 0);
}

/** The accepted one whose cost is lowest. Equals (as when all are idle) take turns by weight. */
export function pickLowest<T extends Candidate>(
  group: CandidateGroup<T>,
  choice: Choice<T>,
  costOf: CostFunction,
): T | undefined {
  let best: T | undefined;
  let lowest = Number.POSITIVE_INFINITY;
  let equals = 0;
  for (const candidate of group.members) {
    if (!choice.accepts(candidate)) continue;
    const cost = costOf(candidate, choice.nowMs);
    if (best === undefined || cost < lowest) {
      best = candidate;
      lowest = cost;
      equals = 1;
    } else if (cost === lowest) equals++;
  }
  return equals > 1 ? takeTurn(group, choice, costOf, lowest) : best;
}

export type CostFunction = (candidate: Candidate, nowMs: number) => number;

const equal: CostFunction = () => 0;

/** The next turn among those of one cost. */
function takeTurn<T extends Candidate>(
  { members }: CandidateGroup<T>,
  choice: Choice<T>,
  costOf: CostFunction,
  cost: number,
): T | undefined {
  let total = 0;
  let best: T | undefined;
  for (const candidate of members) {
    if (!choice.accepts(candidate) || costOf(candidate, choice.nowMs) !== cost) continue;
    candidate.turn += candidate.weight;
    total += candidate.weight;
    if (best === undefined || candidate.turn > best.turn) best = candidate;
  }
  if (best !== undefined) best.turn -= total;
  return best;
}
