/** What the gateway knows and holds of one instance: its connections, its load, its breaker, its health. */
import { isIP } from 'node:net';
import { buildConnector, Pool } from 'undici';
import { type BreakerState, CircuitBreaker } from '../policies/circuit-breaker.ts';
import type { Resilience } from '../policies/resilience.ts';
import type { Candidate } from './balancer.ts';
import { type CallFailure, ConnectFailure, failureCode } from './call-failure.ts';
import type { HealthSettings } from './health-settings.ts';
import { type HealthStatus, type HealthSurroundings, InstanceHealth, type InstancePool } from './instance-health.ts';
import { dropInterimResponses } from './interim-responses.ts';
import type { Instance } from './snapshot.ts';

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
  /** The last failure of a call or probe, in a word or two. */
  readonly lastFailure?: string;
}

/** What all instances share. */
export interface InstanceSurroundings extends HealthSurroundings {
  readonly now: () => number;
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
  readonly health: InstanceHealth;
  /** What TLS asks for: always the instance's own name. An address is none (RFC 6066 section 3). */
  readonly serverName: string | undefined;
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
    pool: InstancePool,
  ) {
    this.#instance = instance;
    this.#concurrency = resilience.concurrency;
    this.#surroundings = surroundings;
    this.serverName = serverNameOf(instance.url);
    this.pool = this.#createPool();
    this.breaker = new CircuitBreaker(resilience, (state) =>
      surroundings.observer?.onBreakerChange(service, instance.id, state),
    );
    this.health = new InstanceHealth({
      service,
      id: instance.id,
      url: instance.url,
      settings: health,
      breaker: this.breaker,
      pool,
      surroundings,
      onFailure: (why) => this.#onFailure(why),
      onReturn: () => this.#onReturn(),
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

  get draining(): boolean {
    return this.#instance.draining;
  }

  get isFull(): boolean {
    return this.inFlight >= this.#concurrency;
  }

  /** Whether a call may go there now. */
  isAvailable(nowMs: number): boolean {
    return this.health.isOpen && this.inFlight < this.#concurrency && this.breaker.isReady(nowMs);
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
      ...this.health.status(),
      ...(draining && { state: 'draining' }),
      breaker: this.breaker.state,
      inFlight: this.inFlight,
      ...(this.#lastFailure !== undefined && { lastFailure: this.#lastFailure }),
    };
  }

  #onFailure(why: string): void {
    this.#lastFailure = why;
  }

  /** It was out and is back: perhaps another process, which shall not pay for what the old one did. */
  #onReturn(): void {
    this.breaker.reset();
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
