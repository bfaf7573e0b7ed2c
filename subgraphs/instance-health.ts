/** Whether one instance gets calls: by its health, by comparison with its peers, and by the state of them all. */
import type { LookupFunction } from 'node:net';
import type { CircuitBreaker } from '../policies/circuit-breaker.ts';
import type { CallObserver } from './call.ts';
import type { Clock } from './clock.ts';
import { HealthMonitor } from './health-monitor.ts';
import { probeHealth } from './health-probe.ts';
import type { HealthSettings } from './health-settings.ts';
import type { Health, HealthSource, HealthState } from './health-source.ts';
import { type Ejection, type EjectionReason, type OutlierDetector, OutlierRecord } from './outlier-detector.ts';
import type { PoolMember } from './pool-health.ts';
import type { InstanceTls } from './service-tls.ts';
import { ToldHealth } from './told-health.ts';

/** The health of an instance as the admin API shows it. */
export interface HealthStatus {
  readonly state: HealthState;
  /** Whether it could be connected to when it was last tried. */
  readonly reachable: boolean;
  /** Why it is unhealthy or ejected. */
  readonly reason?: string;
  /** Set while it is ejected for being worse than its peers. */
  readonly ejection?: { readonly reason: EjectionReason; readonly remainingSeconds: number; readonly count: number };
}

/** The instances of one service, as one of them sees the whole. */
export interface InstancePool {
  readonly detector: OutlierDetector;
  /** The health of an instance is another. */
  onChange(): void;
}

/** What the health of all instances shares. */
export interface HealthSurroundings {
  readonly observer?: CallObserver | undefined;
  readonly random?: (() => number) | undefined;
  readonly clock: Pick<Clock, 'now' | 'setTimer'>;
  readonly lookup?: LookupFunction | undefined;
  /** When set, nothing is probed here: health is told, and this hears of instances that could not be connected to. */
  readonly onEject?: ((service: string, instance: string, why: string) => void) | undefined;
  /** Where `onEject` is set: a connection broke in the middle of a call. */
  readonly onDoubt?: ((service: string, instance: string) => void) | undefined;
}

export interface InstanceHealthOptions {
  readonly service: string;
  readonly id: string;
  readonly url: string;
  /** What the service says of TLS now. */
  readonly tls: () => InstanceTls | null;
  readonly settings: HealthSettings;
  readonly breaker: CircuitBreaker;
  readonly pool: InstancePool;
  readonly surroundings: HealthSurroundings;
  /** A probe or a connection failed, and the instance is out. */
  readonly onFailure: (why: string) => void;
  /** It is back after it was unhealthy or ejected. */
  readonly onReturn: () => void;
}

export class InstanceHealth implements PoolMember {
  /** Whether the pool as a whole lets it have calls. */
  isOpen = true;
  readonly outlier: OutlierRecord;
  readonly #source: HealthSource;
  readonly #options: InstanceHealthOptions;
  #wasReachable = true;
  #wasWell = true;

  constructor(options: InstanceHealthOptions) {
    this.#options = options;
    // Peers that an open breaker keeps from calls are nobody to rely on when an instance is to be ejected.
    this.outlier = new OutlierRecord(
      () => this.isWell && options.breaker.state === 'closed',
      (ejection) => this.#onEjection(ejection),
    );
    this.#source = this.#createSource();
  }

  get state(): HealthState {
    const { state } = this.#source.health;
    return state === 'healthy' && this.isOutlier ? 'ejected' : state;
  }

  get isWell(): boolean {
    return this.#source.health.state === 'healthy';
  }

  get isReachable(): boolean {
    return this.#source.health.reachable;
  }

  get isOutlier(): boolean {
    return this.outlier.ejection !== null;
  }

  configure(settings: HealthSettings): void {
    this.#source.configure(settings);
  }

  /** It could not be connected to. */
  eject(why: string): void {
    this.#source.eject(why);
  }

  /** A connection broke in the middle of a call. */
  doubt(): void {
    this.#source.doubt();
  }

  /** What whoever probes for this process has found out; without effect where this process does so itself. */
  tell(health: Health): void {
    if (this.#source instanceof ToldHealth) this.#source.tell(health);
  }

  check(): Promise<void> {
    return this.#source.check();
  }

  stop(): void {
    this.#source.stop();
    this.#options.pool.detector.forget(this.outlier);
  }

  /** The head of an answer is there, after so many milliseconds; NaN where the time says nothing about the instance. */
  noteStatus(status: number, latencyMs: number): void {
    const { detector } = this.#options.pool;
    if (status < 500) detector.succeed(this.outlier, latencyMs);
    else detector.fail(this.outlier, status >= 502 && status <= 504);
  }

  /** An attempt ended without an answer, or in the middle of one, and the instance is to blame. */
  noteBreak(headSeen: boolean): void {
    const { detector } = this.#options.pool;
    if (headSeen) detector.spoil(this.outlier);
    else detector.fail(this.outlier, true);
  }

  status(): HealthStatus {
    const { state } = this;
    const { why } = this.#source.health;
    const { ejection } = this.outlier;
    const reachable = this.isReachable;
    if (ejection === null) return { state, reachable, ...(why !== null && { reason: why }) };
    const leftMs = Math.max(0, ejection.untilMs - this.#options.surroundings.clock.now());
    return {
      state,
      reachable,
      reason: why ?? describeEjection(ejection),
      ejection: { reason: ejection.reason, remainingSeconds: Math.round(leftMs / 100) / 10, count: ejection.count },
    };
  }

  #createSource(): HealthSource {
    const { service, id, url, tls, settings, surroundings } = this.#options;
    const { random, lookup, onEject, onDoubt, clock } = surroundings;
    const onChange = (health: Health): void => this.#onHealthChange(health);
    if (onEject !== undefined) {
      return new ToldHealth({
        onChange,
        onEject: (why) => onEject(service, id, why),
        onDoubt: () => onDoubt?.(service, id),
        clock,
      });
    }
    return new HealthMonitor({
      settings,
      probe: ({ check, timeoutMs }) => probeHealth({ url, check, timeoutMs, lookup, tls: tls() }),
      onChange,
      ...(random && { random }),
    });
  }

  #onHealthChange({ state, why, reachable }: Health): void {
    const { service, id, pool, surroundings, onReturn, onFailure } = this.#options;
    if (state === 'healthy') {
      onReturn();
      // It was away and is back: most likely another process, which shall not pay for what the old one did.
      if (!this.#wasReachable) pool.detector.pardon(this.outlier);
    } else onFailure(why ?? 'unknown');
    const isNews = this.isWell !== this.#wasWell || reachable !== this.#wasReachable;
    this.#wasWell = this.isWell;
    this.#wasReachable = reachable;
    pool.onChange();
    // Of an outlier whose checks succeed again there is nothing to tell before its ejection is over.
    if (!isNews || (this.isWell && this.isOutlier)) return;
    surroundings.observer?.onHealthChange(service, id, this.isWell, why ?? 'probe succeeded', reachable);
  }

  #onEjection(ejection: Ejection | null): void {
    const { service, id, pool, surroundings, onReturn } = this.#options;
    // Instead of the breaker, not on top of it: who comes back begins anew.
    if (ejection === null) onReturn();
    pool.onChange();
    surroundings.observer?.onEjection?.(service, id, ejection, this.isWell);
  }
}

function describeEjection({ reason, detail, count }: Ejection): string {
  return `${reason}: ${detail} (ejection ${count})`;
}
