/**
 * What becomes of instances whose lease ran out. One that dies is dropped. When a large share of all falls silent at
 * once, it is the way to them that is broken, or the way of their heartbeats: they stay, suspect, for as long as they
 * can be connected to and patience lasts.
 */
import type { Clock, Timer } from './clock.ts';
import { buildLeaseKey, type ExpiredLease, type LeaseStatus, type Leases } from './leases.ts';
import type { Log } from './log.ts';

export interface MassExpirySettings {
  /** Share of all leases that must be overdue together, between 0 and 1. 1 turns the guard off. */
  readonly share: number;
  /** Fewer than so many never are a mass. */
  readonly minimum: number;
  /** How long an instance is kept after its lease ran out. */
  readonly patienceMs: number;
}

export const defaultMassExpiry: MassExpirySettings = { share: 0.3, minimum: 10, patienceMs: 60_000 };

export interface MassExpiryOptions {
  readonly settings: MassExpirySettings;
  readonly leases: () => Leases;
  /** Connects to an instance once; rejects when that fails. */
  readonly probe: (lease: ExpiredLease) => Promise<void>;
  /** Takes instances out of the registry, unless they renewed their lease meanwhile. */
  readonly drop: (expired: readonly ExpiredLease[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly onSuspects?: ((count: number) => void) | undefined;
}

export interface MassExpiryGuard extends Disposable {
  handle(expired: readonly ExpiredLease[]): void;
  isSuspect(service: string, instance: string): boolean;
}

/**
 * Who renews three times per lease, as the client does, never has less than two thirds of it left. So at the moment when
 * the first leases of a silent crowd run out, the rest of the crowd is overdue already, and can be counted.
 */
const overdueShare = 0.4;

const probeEveryMs = 2_000;
const probesAtOnce = 50;

export function createMassExpiryGuard(options: MassExpiryOptions): MassExpiryGuard {
  const { settings, probe, drop, clock, log, onSuspects = () => {} } = options;
  const suspects = new Map<string, ExpiredLease>();
  let timer: Timer | null = null;
  let deciding: Promise<void> | null = null;
  let disposed = false;

  async function decide(expired: readonly ExpiredLease[]): Promise<void> {
    const leases = options.leases();
    await leases.refresh();
    const all = leases.list();
    const ran = new Set(expired.map(({ service, instance }) => buildLeaseKey(service, instance)));
    const out = all.filter((lease) => ran.has(keyOf(lease)) && lease.remainingMs <= 0 && !suspects.has(keyOf(lease)));
    if (out.length === 0) return;
    const overdue = all.filter((lease) => lease.remainingMs < lease.seconds * 1_000 * overdueShare).length;
    if (overdue < settings.minimum || overdue <= settings.share * all.length) return drop(out);
    if (suspects.size === 0) {
      log.error('many leases run out at once: the instances are kept as suspects while they can be connected to', {
        overdue,
        leases: all.length,
        patienceSeconds: settings.patienceMs / 1_000,
      });
    }
    for (const lease of out) suspects.set(keyOf(lease), lease);
    onSuspects(suspects.size);
    schedule(0);
  }

  /** Those that renew are cleared; those that cannot be connected to, or for whom patience is over, are dropped. */
  async function examine(): Promise<void> {
    const now = new Map(
      options
        .leases()
        .list()
        .map((lease) => [keyOf(lease), lease]),
    );
    const due: LeaseStatus[] = [];
    for (const key of [...suspects.keys()]) {
      const lease = now.get(key);
      if (lease === undefined || lease.remainingMs > 0) suspects.delete(key);
      else due.push(lease);
    }
    const failed: LeaseStatus[] = [];
    const over = due.filter((lease) => -lease.remainingMs >= settings.patienceMs);
    const waiting = due.filter((lease) => -lease.remainingMs < settings.patienceMs);
    for (let index = 0; index < waiting.length && !disposed; index += probesAtOnce) {
      const group = waiting.slice(index, index + probesAtOnce);
      const results = await Promise.allSettled(group.map((lease) => probe(lease)));
      results.forEach((result, at) => {
        const lease = group[at];
        if (result.status === 'rejected' && lease !== undefined) failed.push(lease);
      });
    }
    const gone = [...over, ...failed];
    if (gone.length > 0 && !disposed) {
      log.warn('suspect instances are dropped', { unreachable: failed.length, patienceOver: over.length });
      await drop(gone);
      for (const lease of gone) suspects.delete(keyOf(lease));
    }
    onSuspects(suspects.size);
    if (suspects.size === 0) log.info('no instance is suspect any more');
  }

  function schedule(delayMs: number): void {
    if (timer !== null || disposed) return;
    timer = clock.setTimer(async () => {
      try {
        await examine();
      } catch (error) {
        log.warn('suspect instances cannot be examined now', { error });
      }
      timer = null;
      if (suspects.size > 0) schedule(probeEveryMs);
    }, delayMs);
  }

  return {
    handle(expired) {
      // Leases in Redis are reported until they are gone, so what comes while one decision is made comes again.
      const before = deciding ?? Promise.resolve();
      const decision = before
        .then(() => decide(expired))
        .catch((error) => log.error('instances whose lease ran out cannot be taken out now', { error }))
        .finally(() => {
          if (deciding === decision) deciding = null;
        });
      deciding = decision;
    },
    isSuspect: (service, instance) => suspects.has(buildLeaseKey(service, instance)),
    [Symbol.dispose]() {
      disposed = true;
      timer?.cancel();
      suspects.clear();
    },
  };
}

function keyOf({ service, instance }: ExpiredLease): string {
  return buildLeaseKey(service, instance);
}
