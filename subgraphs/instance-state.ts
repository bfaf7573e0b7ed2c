/** What the gateway knows and holds of one instance: its connections, its load, its breaker, its health. */
import { isIP, type LookupFunction } from 'node:net';
import { buildConnector, Pool } from 'undici';
import { type BreakerState, CircuitBreaker } from '../policies/circuit-breaker.ts';
import type { Resilience } from '../policies/resilience.ts';
import type { Candidate } from './balancer.ts';
import type { CallObserver } from './call.ts';
import { type CallFailure, ConnectFailure, failureCode } from './call-failure.ts';
import type { Clock } from './clock.ts';
import { HealthMonitor } from './health-monitor.ts';
import { probeHealth } from './health-probe.ts';
import type { HealthSettings } from './health-settings.ts';
import type { Health, HealthSource, HealthState } from './health-source.ts';
import { dropInterimResponses } from './interim-responses.ts';
import { type Ejection, type EjectionReason, type OutlierDetector, OutlierRecord } from './outlier-detector.ts';
import type { PoolMember } from './pool-health.ts';
import type { Instance } from './snapshot.ts';
import { ToldHealth } from './told-health.ts';

/** An instance as the admin API shows it. */
export interface InstanceStatus {
  readonly id: string;
  readonly url: string;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  readonly state: HealthState | 'draining';
  /** Why it is unhealthy or ejected. */
  readonly reason?: string;
  /** Set while it is ejected for being worse than its peers. */
  readonly ejection?: { readonly reason: EjectionReason; readonly remainingSeconds: number; readonly count: number };
  readonly breaker: BreakerState;
  readonly inFlight: number;
  /** The last failure of a call or probe, in a word or two. */
  readonly lastFailure?: string;
}

/** What all instances share. */
export interface InstanceSurroundings {
  readonly observer?: CallObserver | undefined;
  readonly random?: (() => number) | undefined;
  readonly now: () => number;
  /** For ejections: `now`, and timers. */
  readonly clock: Pick<Clock, 'now' | 'setTimer'>;
  /** When set, nothing is probed here: health is told, and this hears of instances that could not be connected to. */
  readonly onEject?: ((service: string, instance: string, why: string) => void) | undefined;
  readonly lookup?: LookupFunction | undefined;
  /** Pools that take nothing new and close when their last call has ended. */
  readonly closingPools: Set<Pool>;
}

/** The instances of one service, as one of them sees the whole. */
export interface InstancePool {
  readonly detector: OutlierDetector;
  /** The health of an instance is another. */
  onChange(): void;
}

/** Time to connect. A service that needs longer is as good as gone, and another instance may be near. */
const connectTimeoutMs = 1_500;

export class InstanceState implements Candidate, PoolMember {
  turn = 0;
  inFlight = 0;
  pool: Pool;
  readonly breaker: CircuitBreaker;
  readonly health: HealthSource;
  readonly outlier: OutlierRecord;
  /** Whether the pool as a whole lets it have calls. */
  isOpen = true;
  /** What TLS asks for: always the instance's own name. An address is none (RFC 6066 section 3). */
  readonly serverName: string | undefined;
  readonly #service: string;
  readonly #surroundings: InstanceSurroundings;
  readonly #pool: InstancePool;
  #instance: Instance;
  #concurrency: number;
  #lastFailure: string | undefined;
  #wasReachable = true;
  #wasHealthy = true;

  constructor(
    service: string,
    instance: Instance,
    resilience: Resilience,
    health: HealthSettings,
    surroundings: InstanceSurroundings,
    pool: InstancePool,
  ) {
    this.#pool = pool;
    this.#service = service;
    this.#instance = instance;
    this.#concurrency = resilience.concurrency;
    this.#surroundings = surroundings;
    this.serverName = serverNameOf(instance.url);
    this.pool = this.#createPool();
    this.breaker = new CircuitBreaker(resilience, (state) =>
      surroundings.observer?.onBreakerChange(service, instance.id, state),
    );
    this.outlier = new OutlierRecord(
      () => this.isWell && this.breaker.state === 'closed',
      (ejection) => this.#onEjection(ejection),
    );
    this.health = this.#createHealth(health);
  }

  get id(): string {
    return this.#instance.id;
  }

  get url(): string {
    return this.#instance.url;
  }

  get weight(): number {
    return this.#instance.weight;
  }

  get draining(): boolean {
    return this.#instance.draining;
  }

  get isWell(): boolean {
    return this.health.health.state === 'healthy';
  }

  get isReachable(): boolean {
    return this.health.health.reachable;
  }

  get isOutlier(): boolean {
    return this.outlier.ejection !== null;
  }

  get isFull(): boolean {
    return this.inFlight >= this.#concurrency;
  }

  /** Whether a call may go there now. */
  isAvailable(nowMs: number): boolean {
    return this.isOpen && this.inFlight < this.#concurrency && this.breaker.isReady(nowMs);
  }

  /** Takes over what a new snapshot says. Connections, load, breaker and health stay. */
  configure(instance: Instance, resilience: Resilience, health: HealthSettings): void {
    this.#instance = instance;
    this.breaker.configure(resilience);
    this.health.configure(health);
    if (resilience.concurrency === this.#concurrency) return;
    this.#concurrency = resilience.concurrency;
    this.#retirePool();
    this.pool = this.#createPool();
  }

  /** The head of an answer is there, after so many milliseconds; NaN where the time says nothing about the instance. */
  noteStatus(status: number, latencyMs: number): void {
    const { detector } = this.#pool;
    if (status < 500) detector.succeed(this.outlier, latencyMs);
    else detector.fail(this.outlier, status >= 502 && status <= 504);
  }

  /** An attempt ended without an answer, or in the middle of one, and the instance is to blame. */
  noteBreak(headSeen: boolean): void {
    const { detector } = this.#pool;
    if (headSeen) detector.spoil(this.outlier);
    else detector.fail(this.outlier, true);
  }

  /** Notes what went wrong with a call, and takes the instance out when it could not be connected to. */
  noteFailure(failure: CallFailure): void {
    if (!failure.countsAgainstInstance && !failure.connectFailure) return;
    const why = failureCode(failure.error.cause ?? failure.error);
    this.#lastFailure = why;
    if (failure.connectFailure) this.health.eject(why);
  }

  /** Stops probing. Connections close when the calls in flight have ended. */
  retire(): void {
    this.health.stop();
    this.#pool.detector.forget(this.outlier);
    this.#retirePool();
  }

  /** Cuts what is still in flight. */
  async destroy(): Promise<void> {
    this.health.stop();
    this.#pool.detector.stop();
    await this.pool.destroy();
  }

  status(): InstanceStatus {
    const { id, url, weight, zone, version, draining } = this.#instance;
    return {
      id,
      url,
      weight,
      ...(zone !== undefined && { zone }),
      ...(version !== undefined && { version }),
      ...this.#standing(draining),
      breaker: this.breaker.state,
      inFlight: this.inFlight,
      ...(this.#lastFailure !== undefined && { lastFailure: this.#lastFailure }),
    };
  }

  /** What whoever probes for this process has found out; without effect where this process does so itself. */
  tellHealth(health: Health): void {
    if (this.health instanceof ToldHealth) this.health.tell(health);
  }

  #standing(draining: boolean): Pick<InstanceStatus, 'state' | 'reason' | 'ejection'> {
    const { state, why } = this.health.health;
    const { ejection } = this.outlier;
    if (ejection === null) return { state: draining ? 'draining' : state, ...(why !== null && { reason: why }) };
    const remainingSeconds = Math.max(0, Math.round((ejection.untilMs - this.#surroundings.clock.now()) / 100) / 10);
    return {
      state: draining ? 'draining' : state === 'healthy' ? 'ejected' : state,
      reason: why ?? describeEjection(ejection),
      ejection: { reason: ejection.reason, remainingSeconds, count: ejection.count },
    };
  }

  #createHealth(settings: HealthSettings): HealthSource {
    const { random, lookup, onEject, clock } = this.#surroundings;
    const { url } = this;
    const onChange = (health: Health): void => this.#onHealthChange(health);
    if (onEject !== undefined) {
      return new ToldHealth({ onChange, onEject: (why) => onEject(this.#service, this.id, why), clock });
    }
    return new HealthMonitor({
      settings,
      probe: ({ check, timeoutMs }) => probeHealth({ url, check, timeoutMs, lookup }),
      onChange,
      ...(random && { random }),
    });
  }

  #onHealthChange({ state, why, reachable }: Health): void {
    if (state === 'healthy') {
      this.breaker.reset();
      // It was away and is back: most likely another process, which shall not pay for what the old one did.
      if (!this.#wasReachable) this.#pool.detector.pardon(this.outlier);
    } else if (why !== null) this.#lastFailure = why;
    const isNews = state !== 'healthy' && reachable !== this.#wasReachable;
    this.#wasReachable = reachable;
    this.#announce(why ?? 'probe succeeded', isNews);
  }

  #onEjection(ejection: Ejection | null): void {
    const { observer } = this.#surroundings;
    // Instead of the breaker, not on top of it: who comes back begins with a closed one.
    if (ejection === null) this.breaker.reset();
    else observer?.onEjection?.(this.#service, this.id, ejection.reason);
    this.#announce(ejection === null ? 'ejection is over' : describeEjection(ejection));
  }

  /** Tells the pool of every change, and the observer whether the instance is healthy as a whole. */
  #announce(why: string, isNews = false): void {
    this.#pool.onChange();
    const healthy = this.isWell && !this.isOutlier;
    if (healthy === this.#wasHealthy && !isNews) return;
    this.#wasHealthy = healthy;
    this.#surroundings.observer?.onHealthChange(this.#service, this.id, healthy, why, this.isReachable);
  }

  #retirePool(): void {
    const { pool } = this;
    const { closingPools } = this.#surroundings;
    closingPools.add(pool);
    void pool.close().finally(() => closingPools.delete(pool));
  }

  #createPool(): Pool {
    const { lookup } = this.#surroundings;
    const connect = buildConnector({ timeout: connectTimeoutMs, allowH2: false, ...(lookup && { lookup }) });
    return new Pool(this.url, {
      connections: this.#concurrency,
      pipelining: 1,
      allowH2: false,
      useMilo: false,
      // The call keeps time until the head by itself: undici's own timers are coarse, and do not know about uploads.
      headersTimeout: 0,
      connect: (options, callback) =>
        connect(options, (...[error, socket]) => {
          if (error !== null) callback(new ConnectFailure(error), null);
          else callback(null, dropInterimResponses(socket));
        }),
    });
  }
}

function describeEjection({ reason, detail, count }: Ejection): string {
  return `${reason}: ${detail} (ejection ${count})`;
}

function serverNameOf(origin: string): string | undefined {
  const { protocol, hostname } = new URL(origin);
  return protocol === 'https:' && isIP(hostname.replace(/^\[|\]$/g, '')) === 0 ? hostname : undefined;
}
