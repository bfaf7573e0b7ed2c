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
import { type InstanceHealth, ToldHealth } from './told-health.ts';

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
  /** When set, nothing is probed here: health is told, and this hears of instances that could not be connected to. */
  readonly onEject?: ((service: string, instance: string, why: string) => void) | undefined;
  /** Processes that share a service's concurrency. @default 1 */
  readonly processes?: number | undefined;
}

/** Time to connect. A service that needs longer is as good as gone, and another instance may be near. */
const connectTimeoutMs = 1_500;

export class InstanceState implements Candidate {
  turn = 0;
  inFlight = 0;
  pool: Pool;
  readonly breaker: CircuitBreaker;
  readonly health: InstanceHealth;
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
    this.#concurrency = shareOf(resilience, surroundings);
    this.#surroundings = surroundings;
    this.serverName = serverNameOf(instance.url);
    this.pool = this.#createPool();
    this.breaker = new CircuitBreaker(resilience, (state) =>
      surroundings.observer?.onBreakerChange(service, instance.id, state),
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
    const concurrency = shareOf(resilience, this.#surroundings);
    if (concurrency === this.#concurrency) return;
    this.#concurrency = concurrency;
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

  /** Hears from whoever probes for this process; without effect where this process does so itself. */
  tellHealth(healthy: boolean, why: string): void {
    if (this.health instanceof ToldHealth) this.health.tell(healthy ? 'healthy' : 'unhealthy', why);
  }

  #createHealth(settings: HealthSettings): InstanceHealth {
    const { random, lookup, onEject } = this.#surroundings;
    const onChange = (healthy: boolean, why: string): void => this.#onHealthChange(healthy, why);
    if (onEject !== undefined) {
      return new ToldHealth({ onChange, onEject: (why) => onEject(this.#service, this.id, why) });
    }
    return new HealthMonitor({
      settings,
      probe: (asked) => probeHealth({ ...asked, url: this.url, lookup }),
      onChange,
      ...(random && { random }),
    });
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

/** Rounded up: an instance that takes one call at a time is asked by every process all the same. */
function shareOf({ concurrency }: Resilience, { processes = 1 }: InstanceSurroundings): number {
  return Math.ceil(concurrency / processes);
}

function serverNameOf(origin: string): string | undefined {
  const { protocol, hostname } = new URL(origin);
  return protocol === 'https:' && isIP(hostname.replace(/^\[|\]$/g, '')) === 0 ? hostname : undefined;
}
