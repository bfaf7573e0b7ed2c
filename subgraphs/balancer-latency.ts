/** Balancing by how long instances take and how much they have to do. */
import { type Balancer, type Choice, pickAtRandom } from './balancer.ts';
import { pickLowest } from './balancer-rotation.ts';
import type { Candidate, CandidateGroup } from './candidate-group.ts';

/** What an instance is taken to need while its first calls are under way: one call is enough to try it. */
const unknownLatencyMs = 10_000;
/** Latencies that differ by no more than this factor are taken for noise. */
const likeness = 1.5;
/** Nor is a difference of so little worth sending calls elsewhere: it is what a new connection takes, or a collection. */
const slackMs = 5;
/** How often a draw may hit instances that cannot be chosen, before those that can are counted. */
const maxDraws = 8;
/** How far the search for the second goes. It finds every one of a small group. */
const maxSteps = 8;

/**
 * Power of two choices: one is drawn by weight, and yields to another, drawn at random, when that is cheaper. As in
 * Finagle, the cost is the latency times all that would be in flight with this call.
 *
 * Latencies that are nearly the same count as the same, which Finagle's do not: otherwise the noise in them decides among
 * idle instances, and not the weights.
 */
export function createPowerOfTwo(random: () => number): Balancer {
  return (group, choice) => {
    const { members } = group;
    const firstIndex = drawAccepted(group, choice, random);
    const first = members[firstIndex];
    if (first === undefined) return pickAtRandom(group, choice, random);
    const second = findSecond(members, firstIndex, choice, random);
    if (second === undefined) return first;
    return isBetter(second, first, choice.nowMs) ? second : first;
  };
}

/** Whether a call that was drawn for `first` is better off at `second`. */
function isBetter(second: Candidate, first: Candidate, nowMs: number): boolean {
  const secondMs = latencyOf(second, nowMs);
  const firstMs = latencyOf(first, nowMs);
  // Between equals the draw stands, unless the second would have no more to do with the call than the first without it.
  if (secondMs <= firstMs * likeness + slackMs && firstMs <= secondMs * likeness + slackMs)
    return (second.inFlight + 1) / second.weight <= first.inFlight / first.weight;
  return secondMs * (second.inFlight / second.weight + 1) < firstMs * (first.inFlight / first.weight + 1);
}

/** The lowest cost per weight of all. Exact, and therefore the same at every gateway: for few gateways and instances. */
export function createLeastLatency(): Balancer {
  return (group, choice) => pickLowest(group, choice, costPerWeight);
}

function costPerWeight(candidate: Candidate, nowMs: number): number {
  return (latencyOf(candidate, nowMs) * (candidate.inFlight + 1)) / candidate.weight;
}

/** An instance that nobody knows yet is tried at once, but by one call only. */
function latencyOf({ latency, inFlight }: Candidate, nowMs: number): number {
  if (latency.known) return latency.valueMs(nowMs);
  return inFlight === 0 ? 0 : unknownLatencyMs;
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

/** Another one, from a random place on. Drawn without regard to weights: the load, which is per weight, sets it right. */
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
