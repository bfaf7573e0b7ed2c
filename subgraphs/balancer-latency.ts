/** Balancing by how long instances take and how much they have to do. */
import { type Balancer, type Choice, pickAtRandom } from './balancer.ts';
import { pickLowest } from './balancer-rotation.ts';
import type { Candidate, CandidateGroup } from './candidate-group.ts';

/** What an instance is taken to need while its first calls are under way: one call is enough to try it. */
const unknownLatencyMs = 10_000;
/** How often a draw may hit instances that cannot be chosen, before those that can are counted. */
const maxDraws = 8;
/** How far the search for the second goes. It finds every one of a small group. */
const maxSteps = 8;

/**
 * Power of two choices: one is drawn by weight, and yields to another, drawn at random, the more surely the cheaper that
 * one is. At half the cost it takes 15 calls of 16, at a tenth practically all. A comparison pure and simple would send
 * nothing to instances that are slower by a hair, and could not honour weights; and the best of all would be found by
 * all gateways at once.
 */
export function createPowerOfTwo(random: () => number): Balancer {
  return (group, choice) => {
    const { members } = group;
    const firstIndex = drawAccepted(group, choice, random);
    const first = members[firstIndex];
    if (first === undefined) return pickAtRandom(group, choice, random);
    const second = findSecond(members, firstIndex, choice, random);
    if (second === undefined) return first;
    const ownCost = costOf(first, choice.nowMs);
    const otherCost = costOf(second, choice.nowMs);
    if (otherCost >= ownCost) return first;
    const ratio = otherCost / ownCost;
    return random() < ratio ** 4 ? first : second;
  };
}

/** The lowest cost per weight of all. Exact, and therefore the same at every gateway: for few gateways and instances. */
export function createLeastLatency(): Balancer {
  return (group, choice) => pickLowest(group, choice, costPerWeight);
}

/**
 * As in Finagle, for a weight of 1: the latency, times all that would be in flight with this call. An instance nobody
 * knows yet is tried at once, but by one call only.
 */
function costOf({ latency, inFlight, weight }: Candidate, nowMs: number): number {
  const load = inFlight / weight + 1;
  if (latency.known) return latency.valueMs(nowMs) * load;
  return inFlight === 0 ? 0 : unknownLatencyMs * load;
}

/** The weight counts for idle instances, too: there is no draw that would honour it. */
function costPerWeight(candidate: Candidate, nowMs: number): number {
  const { latency, inFlight, weight } = candidate;
  if (latency.known) return (latency.valueMs(nowMs) * (inFlight + 1)) / weight;
  return inFlight === 0 ? 0 : (unknownLatencyMs * (inFlight + 1)) / weight;
}

/** -1 when too few can be chosen for finding one by drawing. */
function drawAccepted<T extends Candidate>(group: CandidateGroup<T>, choice: Choice<T>, random: () => number): number {
  for (let draws = 0; draws < maxDraws; draws++) {
    const index = group.draw(random);
    const candidate = group.members[index];
    if (candidate === undefined) return -1;
    if (choice.accepts(candidate) && isItsTurn(candidate, random)) return index;
  }
  return -1;
}

/** Another one, from a random place on. Drawn without regard to weights: the costs, which are per weight, set it right. */
function findSecond<T extends Candidate>(
  members: readonly T[],
  firstIndex: number,
  choice: Choice<T>,
  random: () => number,
): T | undefined {
  const { length } = members;
  if (length < 2) return undefined;
  let index = (firstIndex + 1 + Math.floor(random() * (length - 1))) % length;
  for (let steps = Math.min(length, maxSteps); steps > 0; steps--) {
    const candidate = members[index];
    if (index !== firstIndex && candidate !== undefined && choice.accepts(candidate) && isItsTurn(candidate, random))
      return candidate;
    index = index + 1 < length ? index + 1 : 0;
  }
  return undefined;
}

/** An instance in slow start lets some of its turns pass. */
function isItsTurn({ ramp }: Candidate, random: () => number): boolean {
  return ramp >= 1 || random() < ramp;
}
