/** Candidates for balancers, without instances behind them. */
import { createBalancer } from '../../subgraphs/balancer.ts';
import { type BalancingSubject, hashText } from '../../subgraphs/balancing-key.ts';
import { type Candidate, CandidateGroup } from '../../subgraphs/candidate-group.ts';
import {
  type BalancingAlgorithm,
  buildBalancingSettings,
  type LoadBalancingOptions,
} from '../../subgraphs/load-balancing-options.ts';
import { PeakLatency } from '../../subgraphs/peak-latency.ts';
import { createRandom } from '../support/random.ts';
import { createRequestContext } from '../support/request-context.ts';

export class Given implements Candidate {
  readonly name: string;
  readonly fullWeight: number;
  ramp = 1;
  inFlight = 0;
  upgrades = 0;
  turn = 0;
  /** Whether it may be chosen. */
  able = true;
  readonly latency = new PeakLatency(10_000);
  readonly hash: number;

  constructor(name: string, weight: number) {
    this.name = name;
    this.fullWeight = weight;
    this.hash = hashText(name);
  }

  get weight(): number {
    return this.fullWeight * this.ramp;
  }
}

/** `a`, `b`, `c`, ... of these weights. */
export function candidates(weights: readonly number[]): Given[] {
  return weights.map((weight, index) => new Given(index < 26 ? String.fromCharCode(97 + index) : `i${index}`, weight));
}

export interface Chooser {
  nowMs: number;
  pick(subject?: Partial<BalancingSubject>): Given | undefined;
  /** Chooses so often, and counts by name. */
  count(times: number, subject?: (turn: number) => Partial<BalancingSubject>): Record<string, number>;
}

/** A balancer over these candidates, with random numbers that are the same in every run. */
export function chooser(
  members: readonly Given[],
  options: LoadBalancingOptions | BalancingAlgorithm,
  random: () => number = createRandom(42),
): Chooser {
  const given = typeof options === 'string' ? { algorithm: options } : options;
  const balance = createBalancer(buildBalancingSettings(given), random);
  const group = new CandidateGroup(members);
  const context = createRequestContext();
  return {
    nowMs: 0,
    pick(subject = {}) {
      const accepts = ({ able }: Given): boolean => able;
      return balance(group, { nowMs: this.nowMs, subject: { ...context, ...subject }, accepts });
    },
    count(times, subject = () => ({})) {
      const counts: Record<string, number> = Object.fromEntries(members.map(({ name }) => [name, 0]));
      for (let turn = 0; turn < times; turn++) {
        const name = this.pick(subject(turn))?.name ?? 'none';
        counts[name] = (counts[name] ?? 0) + 1;
      }
      return counts;
    },
  };
}
