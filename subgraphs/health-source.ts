/**
 * Where the gateway has the health of an instance from. There are two: a monitor, which probes, and what another
 * process tells, so that the workers of a machine need not probe each for itself.
 */
import type { HealthSettings } from './health-settings.ts';

/** Healthy: in the rotation. Unhealthy: failed its checks. Ejected: a call could not connect to it. */
export type HealthState = 'healthy' | 'unhealthy' | 'ejected';

/** The health of one instance at a moment. */
export interface Health {
  readonly state: HealthState;
  /** Why it is not healthy; null when it is. */
  readonly why: string | null;
  /** Whether it could be connected to when it was last tried. When hardly any is healthy, these get calls again. */
  readonly reachable: boolean;
}

/** The health of one instance, as it comes to be known. */
export interface HealthSource {
  readonly health: Health;
  configure(settings: HealthSettings): void;
  /** A call of this process could not connect, or that of a worker: the instance is out at once. */
  eject(why: string): void;
  /** A connection broke in the middle of a call: whoever probes looks whether anybody still listens. */
  doubt(): void;
  /** Looks now, where this process is the one that looks. Never rejects. */
  check(): Promise<void>;
  stop(): void;
}

/** What an instance has until something else is known. */
export const unblemished: Health = { state: 'healthy', why: null, reachable: true };
