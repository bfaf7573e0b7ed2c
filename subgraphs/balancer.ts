/** Choosing one instance among several that are all able to take a call. */
import type { BalancingAlgorithm } from './service-definition.ts';

/** What a balancer sees of an instance. */
export interface Candidate {
  readonly weight: number;
  /** Calls it is serving now. */
  readonly inFlight: number;
  /** Belongs to the balancer: where the candidate stands in the weighted rotation. Starts at 0. */
  turn: number;
}

/** Chooses one of the candidates; undefined when there are none. */
export type Balancer = <T extends Candidate>(candidates: readonly T[]) => T | undefined;

/** A balancer for one service. `random` is asked for numbers from 0 up to but without 1. */
export function createBalancer(algorithm: BalancingAlgorithm, random: () => number = Math.random): Balancer {
  switch (algorithm) {
    case 'round-robin':
      return createRoundRobin();
    case 'weighted':
      return pickByTurn;
    case 'random':
      return (candidates) => pickAtRandom(candidates, random);
    case 'least-connections':
      return pickLeastLoaded;
  }
}

/** One after the other, whatever their weights. */
function createRoundRobin(): Balancer {
  let next = 0;
  return (candidates) => {
    next = next >= candidates.length - 1 ? 0 : next + 1;
    return candidates[next];
  };
}

/** Smooth weighted round-robin, as in nginx: a heavy instance's turns are spread over the cycle instead of in a row. */
function pickByTurn<T extends Candidate>(candidates: readonly T[]): T | undefined {
  let total = 0;
  let best: T | undefined;
  for (const candidate of candidates) {
    candidate.turn += candidate.weight;
    total += candidate.weight;
    if (best === undefined || candidate.turn > best.turn) best = candidate;
  }
  if (best !== undefined) best.turn -= total;
  return best;
}

/** Fewest calls in flight per weight. Among equals (as when all are idle) the weighted rotation decides. */
function pickLeastLoaded<T extends Candidate>(candidates: readonly T[]): T | undefined {
  let best = candidates[0];
  let equals = 0;
  for (const candidate of candidates) {
    const difference = best === undefined ? 0 : compareLoad(candidate, best);
    if (difference < 0) {
      best = candidate;
      equals = 1;
    } else if (difference === 0) equals++;
  }
  if (best === undefined || equals === 1) return best;
  if (equals === candidates.length) return pickByTurn(candidates);
  const least = best;
  return pickByTurn(candidates.filter((candidate) => compareLoad(candidate, least) === 0));
}

/** Below 0 when the first carries less per weight. Multiplied crosswise, so that equal loads are equal exactly. */
function compareLoad(a: Candidate, b: Candidate): number {
  return a.inFlight * b.weight - b.inFlight * a.weight;
}

function pickAtRandom<T extends Candidate>(candidates: readonly T[], random: () => number): T | undefined {
  let total = 0;
  for (const candidate of candidates) total += candidate.weight;
  let rest = random() * total;
  for (const candidate of candidates) {
    rest -= candidate.weight;
    if (rest < 0) return candidate;
  }
  return candidates.at(-1);
}
