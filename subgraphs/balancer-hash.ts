/**
 * Weighted rendezvous hashing: every instance has a score for a key, and the highest that may be chosen takes the call.
 * When an instance comes or goes only its own keys move, and there is no ring or table to build.
 */
import type { Balancer, Choice } from './balancer.ts';
import { buildBalancingKey, hashText, mixBits } from './balancing-key.ts';
import type { Candidate, CandidateGroup } from './candidate-group.ts';
import type { BalancingSettings } from './load-balancing-options.ts';

/** `fallback` chooses for requests without a key. */
export function createConsistentHash(
  { algorithm, hash, boundedLoad }: BalancingSettings,
  fallback: Balancer,
): Balancer {
  if (hash === null) return fallback;
  const readKey = buildBalancingKey(hash);
  // By address it is said to be the same instance always; how many clients share an address is not in anybody's hand.
  const bound = algorithm === 'ip-hash' ? Number.POSITIVE_INFINITY : boundedLoad;
  return (group, choice) => {
    const key = readKey(choice.subject);
    return key === undefined ? fallback(group, choice) : pickByScore(group, choice, hashText(key), bound);
  };
}

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam): nobody takes more than `bound` times the mean
 * of the calls in flight, this one included. At least one is below that always, as the bound is more than the mean.
 */
function pickByScore<T extends Candidate>(
  { members }: CandidateGroup<T>,
  choice: Choice<T>,
  keyHash: number,
  bound: number,
): T | undefined {
  const perWeight = bound === Number.POSITIVE_INFINITY ? bound : bound * meanLoad(members, choice);
  let best: T | undefined;
  let highest = Number.NEGATIVE_INFINITY;
  for (const candidate of members) {
    if (!choice.accepts(candidate)) continue;
    if (candidate.inFlight > 0 && candidate.inFlight + 1 > Math.ceil(perWeight * candidate.weight)) continue;
    const score = scoreOf(candidate, keyHash);
    if (score > highest) {
      best = candidate;
      highest = score;
    }
  }
  return best;
}

/** Calls in flight per weight, with the one that is to be made. */
function meanLoad<T extends Candidate>(members: readonly T[], choice: Choice<T>): number {
  let calls = 1;
  let weight = 0;
  for (const candidate of members) {
    if (!choice.accepts(candidate)) continue;
    calls += candidate.inFlight;
    weight += candidate.weight;
  }
  return calls / weight;
}

/** -weight / ln(u), with u even between 0 and 1: the highest of all is a candidate's in proportion to its weight. */
function scoreOf({ hash, weight }: Candidate, keyHash: number): number {
  return -weight / Math.log((mixBits(hash ^ keyHash) + 0.5) / 4_294_967_296);
}
