/** Instances that a balancer chooses among, in a form from which one is drawn by weight in constant time. */
import type { PeakLatency } from './peak-latency.ts';

/** What a balancer sees of an instance. */
export interface Candidate {
  /** Share of the load that the definition gives it. */
  readonly fullWeight: number;
  /** From 0 to 1: how much of its weight it bears now. Less than 1 during slow start. */
  readonly ramp: number;
  /** {@link fullWeight} times {@link ramp}. */
  readonly weight: number;
  /** Calls it is serving now. */
  readonly inFlight: number;
  /** Connections that it holds open beside calls, such as WebSockets. */
  readonly upgrades: number;
  readonly latency: PeakLatency;
  /** 32 bits that are its own and always the same, for the consistent hash. */
  readonly hash: number;
  /** Belongs to the balancer: where the candidate stands in the weighted rotation. Starts at 0. */
  turn: number;
}

export class CandidateGroup<T extends Candidate> {
  readonly members: readonly T[];
  /** Made at the first draw: most algorithms never ask. */
  #table: AliasTable | null | undefined;

  constructor(members: readonly T[]) {
    this.members = members;
  }

  /** An index, drawn by full weight; -1 when there are none. */
  draw(random: () => number): number {
    const { length } = this.members;
    if (length === 0) return -1;
    if (this.#table === undefined) this.#table = buildAliasTable(this.members);
    const index = Math.floor(random() * length);
    if (this.#table === null) return index;
    return random() < (this.#table.keep[index] ?? 1) ? index : (this.#table.alias[index] ?? index);
  }
}

/** Column i stands for candidate i with probability `keep[i]`, else for `alias[i]` (Walker's method, built as Vose does). */
interface AliasTable {
  readonly keep: Float64Array;
  readonly alias: Uint32Array;
}

/** Null when all weigh the same. */
function buildAliasTable(members: readonly Candidate[]): AliasTable | null {
  const first = members[0]?.fullWeight;
  if (members.every(({ fullWeight }) => fullWeight === first)) return null;
  const total = members.reduce((sum, { fullWeight }) => sum + fullWeight, 0);
  const rest = members.map(({ fullWeight }) => (fullWeight * members.length) / total);
  const keep = new Float64Array(members.length).fill(1);
  const alias = Uint32Array.from(members, (_member, index) => index);
  const small: number[] = [];
  const large: number[] = [];
  rest.forEach((share, index) => {
    (share < 1 ? small : large).push(index);
  });
  for (let low = small.pop(); low !== undefined; low = small.pop()) {
    const high = large.pop();
    // What is left over by rounding has a column to itself.
    if (high === undefined) break;
    const share = rest[low] ?? 1;
    keep[low] = share;
    alias[low] = high;
    const left = (rest[high] ?? 1) + share - 1;
    rest[high] = left;
    (left < 1 ? small : large).push(high);
  }
  return { keep, alias };
}
