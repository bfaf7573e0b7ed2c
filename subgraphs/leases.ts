/**
 * Leases of registered instances: who does not renew leaves the rotation. They live beside the snapshot, because a
 * heartbeat must cost neither a revision nor a write.
 */
import type { Clock, Timer } from './clock.ts';
import type { Snapshot } from './snapshot.ts';

/** An instance whose lease has run out. */
export interface ExpiredLease {
  readonly service: string;
  readonly instance: string;
}

/** A lease as it stands. */
export interface LeaseStatus extends ExpiredLease {
  readonly seconds: number;
  /** Negative once it ran out. */
  readonly remainingMs: number;
}

export interface Leases extends Disposable {
  /** Starts or renews a lease. */
  renew(service: string, instance: string, seconds: number): void;
  /** Seconds that are left: 0 once it ran out, null when there is no lease. */
  remainingSeconds(service: string, instance: string): number | null;
  /** Every lease. What others renewed is known as of the last {@link refresh}. */
  list(): readonly LeaseStatus[];
  /** Learns what other gateways renewed; rejects when that cannot be known. */
  refresh(): Promise<void>;
  /** Forgets the leases of instances that are gone, and gives a full one to those that have none. */
  follow(snapshot: Snapshot): void;
}

export const defaultLeaseSeconds = 30;

/**
 * When the timer comes so late, this process stood still (stopped, or starved of CPU), and heartbeats may wait unread
 * in the sockets. Then the leases get back the time that was lost, and as much again to read what waits.
 */
const standstillMs = 1_000;

interface Lease extends ExpiredLease {
  readonly seconds: number;
  expiresAtMs: number;
  /** Ran out and was reported. It stays until the instance is gone, or it would look like one that never had a lease. */
  reported: boolean;
}

/** Calls `onExpire` with all leases that ran out at once. One timer serves them all. */
export function createLeases(onExpire: (expired: readonly ExpiredLease[]) => void, clock: Clock): Leases {
  const leases = new Map<string, Lease>();
  let timer: Timer | null = null;
  let dueAtMs = Number.POSITIVE_INFINITY;

  /** Renewals leave the timer alone: it finds nothing and is set anew. */
  function arm(atMs: number): void {
    if (atMs >= dueAtMs) return;
    timer?.cancel();
    dueAtMs = atMs;
    timer = clock.setTimer(expire, Math.max(0, atMs - clock.now()));
  }

  function expire(): void {
    const now = clock.now();
    const lateMs = now - dueAtMs;
    timer = null;
    dueAtMs = Number.POSITIVE_INFINITY;
    const expired: ExpiredLease[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const lease of leases.values()) {
      if (lease.reported) continue;
      if (lateMs > standstillMs) lease.expiresAtMs += lateMs + standstillMs;
      if (lease.expiresAtMs > now) {
        next = Math.min(next, lease.expiresAtMs);
        continue;
      }
      lease.reported = true;
      expired.push({ service: lease.service, instance: lease.instance });
    }
    if (next < Number.POSITIVE_INFINITY) arm(next);
    if (expired.length > 0) onExpire(expired);
  }

  function renew(service: string, instance: string, seconds: number): void {
    const expiresAtMs = clock.now() + seconds * 1_000;
    leases.set(buildLeaseKey(service, instance), { service, instance, seconds, expiresAtMs, reported: false });
    arm(expiresAtMs);
  }

  return {
    renew,
    remainingSeconds(service, instance) {
      const lease = leases.get(buildLeaseKey(service, instance));
      return lease === undefined ? null : Math.max(0, (lease.expiresAtMs - clock.now()) / 1_000);
    },
    list() {
      const now = clock.now();
      return [...leases.values()].map(({ service, instance, seconds, expiresAtMs }) => ({
        service,
        instance,
        seconds,
        remainingMs: expiresAtMs - now,
      }));
    },
    refresh: async () => {},
    follow(snapshot) {
      const gone = new Set(leases.keys());
      for (const service of snapshot.services) {
        for (const { id, origin, leaseSeconds } of service.instances) {
          const key = buildLeaseKey(service.name, id);
          if (origin !== 'lease' || gone.delete(key)) continue;
          renew(service.name, id, leaseSeconds ?? defaultLeaseSeconds);
        }
      }
      for (const key of gone) leases.delete(key);
    },
    [Symbol.dispose]() {
      timer?.cancel();
      leases.clear();
    },
  };
}

/** A lease by one name. */
export function buildLeaseKey(service: string, instance: string): string {
  return `${service}/${instance}`; // names of services have no slash
}
