/** Whether calls stay in the gateway's own zone: as long as enough of its instances can take them and are not overloaded. */
import type { BalancingSettings } from './load-balancing-options.ts';

/** What the preference looks at. */
export interface ZoneMember {
  readonly fullWeight: number;
  readonly inFlight: number;
  /** Calls that it may have at once. */
  readonly concurrency: number;
  isAvailable(nowMs: number): boolean;
}

export type ZoneNumbers = Pick<BalancingSettings, 'zoneMinHealthy' | 'zoneMaxLoad'>;

/** Why calls leave the zone; null when they do not. */
export type SpillOver = 'unhealthy' | 'overloaded' | null;

/** Judges the local instances as they are now. */
export function judgeZone(
  local: readonly ZoneMember[],
  { zoneMinHealthy, zoneMaxLoad }: ZoneNumbers,
  nowMs: number,
): SpillOver {
  let weight = 0;
  let availableWeight = 0;
  let room = 0;
  let inFlight = 0;
  for (const member of local) {
    weight += member.fullWeight;
    // A full one is overloaded, not ill: what it lacks is counted below.
    const full = member.inFlight >= member.concurrency;
    if (!full && !member.isAvailable(nowMs)) continue;
    availableWeight += member.fullWeight;
    room += member.concurrency;
    inFlight += member.inFlight;
  }
  if (availableWeight < weight * zoneMinHealthy || room === 0) return 'unhealthy';
  return inFlight >= room * zoneMaxLoad ? 'overloaded' : null;
}
