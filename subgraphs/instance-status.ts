/** What of an instance is shown. */
import type { BreakerState } from '../policies/circuit-breaker.ts';
import type { HealthStatus } from './instance-health.ts';

/** An instance as the admin API shows it. */
export interface InstanceStatus extends Omit<HealthStatus, 'state'> {
  readonly id: string;
  readonly url: string;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  readonly state: HealthStatus['state'] | 'draining';
  readonly breaker: BreakerState;
  readonly inFlight: number;
  /** Open connections that have left HTTP; left out while there are none. */
  readonly upgrades?: number;
  /** What the balancer takes for the time of an answer: it jumps to peaks and fades. Null: not known yet. */
  readonly latencyMs: number | null;
  /** Less than `weight` during slow start. */
  readonly weightInEffect: number;
  /** The last failure of a call or probe, in a word or two. */
  readonly lastFailure?: string;
}
