/**
 * Choosing one instance among several. No choice allocates, and `p2c` looks at two instances however many there are;
 * docs/discovery.md says which algorithm is for what.
 */

import { createConsistentHash } from './balancer-hash.ts';
import { createLeastLatency, createPowerOfTwo } from './balancer-latency.ts';
import { pickLowest, pickNextByWeight } from './balancer-rotation.ts';
import type { BalancingSubject } from './balancing-key.ts';
import type { Candidate, CandidateGroup } from './candidate-group.ts';
import type { BalancingSettings } from './load-balancing-options.ts';

/** What one choice is about. */
export interface Choice<T extends Candidate> {
  readonly nowMs: number;
  readonly subject: BalancingSubject;
  /** Whether a candidate may be chosen: it can take a call now, and this call has not tried it. */
  accepts(candidate: T): boolean;
}

/** Chooses one of a group; undefined when none is accepted. */
export type Balancer = <T extends Candidate>(group: CandidateGroup<T>, choice: Choice<T>) => T | undefined;

/** A balancer for one service. `random` is asked for numbers from 0 up to but without 1. */
export function createBalancer(settings: BalancingSettings, random: () => number = Math.random): Balancer {
  switch (settings.algorithm) {
    case 'p2c':
      return createPowerOfTwo(random);
    case 'response-time':
      return createLeastLatency();
    case 'least-connections':
      return (group, choice) => pickLowest(group, choice, loadOf);
    case 'round-robin':
      return createRoundRobin(random);
    case 'weighted':
      return pickNextByWeight;
    case 'random':
      return (group, choice) => pickAtRandom(group, choice, random);
    case 'ip-hash':
    case 'consistent-hash':
      return createConsistentHash(settings, createPowerOfTwo(random));
  }
}

/** Calls in flight, and connections that have left HTTP, per weight. */
function loadOf({ inFlight, upgrades, weight }: Candidate): number {
  return (inFlight + upgrades) / weight;
}

/** One after the other, whatever their weights; one that starts slowly lets some of its turns pass. */
function createRoundRobin(random: () => number): Balancer {
  let next = 0;
  return <T extends Candidate>({ members }: CandidateGroup<T>, choice: Choice<T>) => {
    let resting: T | undefined;
    for (let tries = 0; tries < members.length; tries++) {
      next = next >= members.length - 1 ? 0 : next + 1;
      const candidate = members[next];
      if (candidate === undefined || !choice.accepts(candidate)) continue;
      if (candidate.ramp >= 1 || random() < candidate.ramp) return candidate;
      resting ??= candidate;
    }
    return resting;
  };
}

/** Any, by weight. */
export function pickAtRandom<T extends Candidate>(
  { members }: CandidateGroup<T>,
  choice: Choice<T>,
  random: () => number,
): T | undefined {
  let total = 0;
  for (const candidate of members) if (choice.accepts(candidate)) total += candidate.weight;
  let rest = random() * total;
  let last: T | undefined;
  for (const candidate of members) {
    if (!choice.accepts(candidate)) continue;
    last = candidate;
    rest -= candidate.weight;
    if (rest < 0) return candidate;
  }
  return last;
}
