/** The instances of a service as several workers see them, as one list. */
import type { BreakerState } from '../policies/circuit-breaker.ts';
import type { InstanceStatus } from '../subgraphs/instance-status.ts';

const byBadness: readonly BreakerState[] = ['closed', 'half-open', 'open'];

/**
 * `own` is what the prober says, which knows the health; what calls show is the workers'. Load adds up; of breakers
 * the worst is shown, because that is the one that somebody looks for.
 */
export function mergeStatus(
  own: readonly InstanceStatus[],
  workers: readonly (readonly InstanceStatus[])[],
): readonly InstanceStatus[] {
  return own.map((instance) => {
    const seen = workers.flatMap((list) => list.filter(({ id, url }) => id === instance.id && url === instance.url));
    const [first] = seen;
    if (first === undefined) return instance;
    const upgrades = seen.reduce((sum, one) => sum + (one.upgrades ?? 0), 0);
    const lastFailure = instance.lastFailure ?? seen.find((one) => one.lastFailure !== undefined)?.lastFailure;
    return {
      ...instance,
      ...(seen.find(isOut) ?? first),
      // Whether it may be called at all is decided here; a worker may have found out just now that it may not.
      state: instance.state === 'healthy' ? (seen.find(isOut)?.state ?? 'healthy') : instance.state,
      breaker: seen.map(({ breaker }) => breaker).reduce(worse),
      inFlight: seen.reduce((sum, { inFlight }) => sum + inFlight, 0),
      ...(upgrades > 0 && { upgrades }),
      ...(lastFailure !== undefined && { lastFailure }),
    };
  });
}

/** The worst of the workers' breakers; null where there are none. */
export function mergeBreakers(states: readonly (BreakerState | null)[]): BreakerState | null {
  const known = states.filter((state) => state !== null);
  return known.length === 0 ? null : known.reduce(worse);
}

function isOut({ state }: InstanceStatus): boolean {
  return state !== 'healthy';
}

function worse(one: BreakerState, other: BreakerState): BreakerState {
  return byBadness.indexOf(other) > byBadness.indexOf(one) ? other : one;
}
