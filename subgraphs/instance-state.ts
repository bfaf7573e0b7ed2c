/** What the gateway knows and holds of one instance: its connections, its load, its breaker, its health. */
import { isIP, type LookupFunction } from 'node:net';
import { buildConnector, Pool } from 'undici';
import { type BreakerState, CircuitBreaker } from '../policies/circuit-breaker.ts';
import type { Resilience } from '../policies/resilience.ts';
import type { Candidate } from './balancer.ts';
import type { CallObserver } from './call.ts';
import { type CallFailure, ConnectFailure, failureCode } from './call-failure.ts';
import { HealthMonitor, type HealthSettings, type HealthState } from './health-monitor.ts';
import { probeHealth } from './health-probe.ts';
import { dropInterimResponses } from './interim-responses.ts';
import type { Instance } from './snapshot.ts';

/** An instance as the admin API shows it. */
export interface InstanceStatus {
  readonly id: string;
  readonly url: string;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  readonly state: HealthState | 'draining';
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
  readonly lookup?: LookupFunction | undefined;
  /** Pools that take nothing new and close when their last call has ended. */
  readonly closingPools: Set<Pool>;
}

/** Time to connect. A service that needs longer is as good as gone, and another instance may be near. */
const connectTimeoutMs = 1_500;

export class InstanceState implements Candidate {
  turn = 0;
  inFlight = 0;
  pool: Pool;
  readonly breaker: CircuitBreaker;
  readonly health: HealthMonitor;
  /** What TLS asks for: always the instance's own name. An address is none (RFC 6066 section 3). */
  readonly serverName: string | undefined;
  readonly #service: string;
  readonly #surroundings: InstanceSurroundings;
  #instance: Instance;
  #concurrency: number;
  #lastFailure: string | undefined;

  constructor(
    service: string,
    instance: Instance,
    resilience: Resilience,
    health: HealthSettings,
    surroundings: InstanceSurroundings,
  ) {
    this.#service = service;
    this.#instance = instance;
    this.#concurrency = resilience.concurrency;
    this.#surroundings = surroundings;
    this.serverName = serverNameOf(instance.url);
    this.pool = this.#createPool();
    this.breaker = new CircuitBreaker(resilience, (state) =>
      surroundings.observer?.onBreakerChange(service, instance.id, state),
    );
    this.health = new HealthMonitor({
      settings: health,
      probe: (settings) => probeHealth({ ...settings, url: instance.url, lookup: surroundings.lookup }),
      onChange: (healthy, why) => this.#onHealthChange(healthy, why),
      ...(surroundings.random && { random: surroundings.random }),
    });
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

  get version(): string | undefined {
    return this.#instance.version;
  }

  get draining(): boolean {
    return this.#instance.draining;
  }

  get isFull(): boolean {
    return this.inFlight >= this.#concurrency;
  }

  /** Whether a call may go there now. */
  isAvailable(nowMs: number): boolean {
    return this.health.state === 'healthy' && this.inFlight < this.#concurrency && this.breaker.isReady(nowMs);
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
    this.#retirePool();
  }

  /** Cuts what is still in flight. */
  async destroy(): Promise<void> {
    this.health.stop();
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
      state: draining ? 'draining' : this.health.state,
      breaker: this.breaker.state,
      inFlight: this.inFlight,
      ...(this.#lastFailure !== undefined && { lastFailure: this.#lastFailure }),
    };
  }

  #onHealthChange(healthy: boolean, why: string): void {
    // It was away and is back: most likely another process, which shall not pay for what the old one did.
    if (healthy) this.breaker.reset();
    else this.#lastFailure = why;
    this.#surroundings.observer?.onHealthChange(this.#service, this.id, healthy, why);
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

function serverNameOf(origin: string): string | undefined {
  const { protocol, hostname } = new URL(origin);
  return protocol === 'https:' && isIP(hostname.replace(/^\[|\]$/g, '')) === 0 ? hostname : undefined;
}
