/** How many instances of a service are healthy, and whether so few that all must do. */

/** What counts of an instance. */
export interface PoolMember {
  /** Whether its health is good. */
  readonly isWell: boolean;
  /** Whether it could be connected to when it was last tried. */
  readonly isReachable: boolean;
  /** Whether it is ejected, being worse than its peers. */
  readonly isOutlier: boolean;
}

/** The instances of a service as a whole; those that drain are none of them. */
export interface PoolHealth {
  readonly instances: number;
  /** Neither unhealthy nor ejected. */
  readonly healthy: number;
  /**
   * Too few are healthy: calls go to all that can be connected to. Checks and comparisons may be wrong about many at
   * once, e.g. when what they depend on is down, and the few would not stand the load of all.
   */
  readonly panic: boolean;
}

/** Panic below the share; also, whatever the share, when there would be nobody but outliers. */
export function assessPool(members: readonly PoolMember[], panicShare: number): PoolHealth {
  const instances = members.length;
  const healthy = members.filter(isHealthy).length;
  const reserves = members.filter((member) => member.isReachable && !isHealthy(member));
  const isTooFew = healthy < panicShare * instances || (healthy === 0 && reserves.some((member) => member.isOutlier));
  return { instances, healthy, panic: isTooFew && reserves.length > 0 };
}

/** Whether an instance gets calls. */
export function isOpen(member: PoolMember, panic: boolean): boolean {
  return panic ? member.isReachable : isHealthy(member);
}

function isHealthy(member: PoolMember): boolean {
  return member.isWell && !member.isOutlier;
}
