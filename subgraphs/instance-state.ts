/** What the gateway knows and holds of one instance: its connections, its load, its breaker, its health. */
import type { Socket } from 'node:net';
import { CircuitBreaker } from '../policies/circuit-breaker.ts';
import type { Resilience } from '../policies/resilience.ts';
import { hashText } from './balancing-key.ts';
import { type CallFailure, failureCode } from './call-failure.ts';
import type { Candidate } from './candidate-group.ts';
import type { HealthSettings } from './health-settings.ts';
import { InstanceConnections } from './instance-connections.ts';
import type { InstanceTransport } from './instance-connector.ts';
import { type HealthSurroundings, InstanceHealth, type InstancePool } from './instance-health.ts';
import type { InstanceStatus } from './instance-status.ts';
import type { BalancingSettings } from './load-balancing-options.ts';
import { PeakLatency } from './peak-latency.ts';
import type { Instance } from './snapshot.ts';

const plainTransport: InstanceTransport = { http2: false, tls: null };

/** What all instances share. */
export interface InstanceSurroundings extends HealthSurroundings {
  readonly now: () => number;
  /** Pools that take nothing new and close when their last call has ended. */
  readonly closingPools: Set<InstanceConnections>;
  /** Processes that share a service's concurrency. @default 1 */
  readonly processes?: number | undefined;
}

/** What a process that is killed leaves behind of its connections. */
const brokenConnection: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);
/** Where slow start begins: enough calls to warm up by. */
const firstRamp = 0.1;

export class InstanceState implements Candidate {
  turn = 0;
  inFlight = 0;
  /** Connections that have left HTTP: load, but no calls that `concurrency` counts. */
  upgrades = 0;
  ramp = 1;
  weight: number;
  readonly latency: PeakLatency;
  readonly hash: number;
  /** By id and URL: an instance that moves is another one. */
  readonly key: string;
  connections: InstanceConnections;
  readonly breaker: CircuitBreaker;
  readonly health: InstanceHealth;
  readonly #surroundings: InstanceSurroundings;
  #instance: Instance;
  #concurrency: number;
  #balancing: BalancingSettings;
  #transport: InstanceTransport;
  #rampStartedAtMs = 0;
  #lastFailure: string | undefined;

  constructor(
    service: string,
    instance: Instance,
    resilience: Resilience,
    health: HealthSettings,
    balancing: BalancingSettings,
    surroundings: InstanceSurroundings,
    pool: InstancePool,
    transport: InstanceTransport = plainTransport,
  ) {
    this.#instance = instance;
    this.#concurrency = shareOf(resilience, surroundings);
    this.#balancing = balancing;
    this.#transport = transport;
    this.weight = instance.weight;
    this.latency = new PeakLatency(balancing.latencyDecayMs);
    this.hash = hashText(instance.id);
    this.key = instanceKey(instance);
    this.#surroundings = surroundings;
    this.connections = this.#createConnections();
    this.breaker = new CircuitBreaker(resilience, (state) =>
      surroundings.observer?.onBreakerChange(service, instance.id, state),
    );
    this.health = new InstanceHealth({
      service,
      id: instance.id,
      url: instance.url,
      tls: () => this.#transport.tls,
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

  get zone(): string | undefined {
    return this.#instance.zone;
  }

  get version(): string | undefined {
    return this.#instance.version;
  }

  get fullWeight(): number {
    return this.#instance.weight;
  }

  get concurrency(): number {
    return this.#concurrency;
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
  configure(
    instance: Instance,
    resilience: Resilience,
    health: HealthSettings,
    balancing: BalancingSettings = this.#balancing,
    transport: InstanceTransport = this.#transport,
  ): void {
    const concurrency = shareOf(resilience, this.#surroundings);
    const sameConnections =
      concurrency === this.#concurrency &&
      transport.http2 === this.#transport.http2 &&
      transport.tls === this.#transport.tls &&
      balancing.maxConnectionAgeMs === this.#balancing.maxConnectionAgeMs;
    this.#instance = instance;
    this.#balancing = balancing;
    this.latency.configure(balancing.latencyDecayMs);
    this.updateRamp(this.#surroundings.now());
    this.breaker.configure(resilience);
    this.health.configure(health);
    if (sameConnections) return;
    this.#concurrency = concurrency;
    this.#transport = transport;
    this.#retireConnections();
    this.connections = this.#createConnections();
  }

  /** Slow start: the share grows from a tenth to the whole, from now on. Nothing happens where it is not wished. */
  startRamp(nowMs: number): void {
    this.#rampStartedAtMs = nowMs;
    this.ramp = firstRamp;
    this.updateRamp(nowMs);
  }

  /** Lets the weight in effect follow the time. */
  updateRamp(nowMs: number): void {
    const { slowStartMs } = this.#balancing;
    if (this.ramp < 1) {
      const passed = slowStartMs === 0 ? 1 : (nowMs - this.#rampStartedAtMs) / slowStartMs;
      this.ramp = Math.min(1, Math.max(firstRamp, passed));
    }
    this.weight = this.#instance.weight * this.ramp;
  }

  /** Notes what went wrong with a call, and takes the instance out when it could not be connected to. */
  noteFailure(failure: CallFailure): void {
    if (!failure.countsAgainstInstance && !failure.connectFailure) return;
    const why = failureCode(failure.error.cause ?? failure.error);
    this.#lastFailure = why;
    if (failure.connectFailure) this.health.eject(why);
    else if (brokenConnection.has(why)) this.health.doubt();
  }

  /** A connection in HTTP/1.1 for the caller alone. Rejects with a `ConnectFailure`. */
  connect(): Promise<Socket> {
    return this.connections.connect();
  }

  /** Stops probing. Connections close when the calls in flight have ended. */
  retire(): void {
    this.health.stop();
    this.#retireConnections();
  }

  /** Cuts what is still in flight. */
  async destroy(): Promise<void> {
    this.health.stop();
    await this.connections.destroy();
  }

  status(): InstanceStatus {
    const { id, url, weight, zone, version, draining } = this.#instance;
    const nowMs = this.#surroundings.now();
    this.updateRamp(nowMs);
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
      ...(this.upgrades > 0 && { upgrades: this.upgrades }),
      latencyMs: this.latency.known ? toHundredths(this.latency.valueMs(nowMs)) : null,
      weightInEffect: toHundredths(this.weight),
      ...(this.#lastFailure !== undefined && { lastFailure: this.#lastFailure }),
    };
  }

  #onFailure(why: string): void {
    this.#lastFailure = why;
  }

  /** It was out and is back: perhaps another process, which shall not pay for what the old one did. */
  #onReturn(): void {
    this.breaker.reset();
    this.latency.reset();
    this.startRamp(this.#surroundings.now());
  }

  #random(): number {
    return (this.#surroundings.random ?? Math.random)();
  }

  #retireConnections(): void {
    const { connections } = this;
    const { closingPools } = this.#surroundings;
    closingPools.add(connections);
    void connections.close().finally(() => closingPools.delete(connections));
  }

  #createConnections(): InstanceConnections {
    const { maxConnectionAgeMs } = this.#balancing;
    // Not to the millisecond: the connections of all instances, and of all gateways, shall not end together.
    const maxAgeMs = maxConnectionAgeMs > 0 ? maxConnectionAgeMs * (0.9 + 0.1 * this.#random()) : undefined;
    const { lookup } = this.#surroundings;
    return new InstanceConnections({
      url: this.url,
      connections: this.#concurrency,
      maxAgeMs,
      lookup,
      ...this.#transport,
    });
  }
}

/** Rounded up: an instance that takes one call at a time is asked by every process all the same. */
function shareOf({ concurrency }: Resilience, { processes = 1 }: InstanceSurroundings): number {
  return Math.ceil(concurrency / processes);
}

/** What tells one copy of a service from another, also from one that had the same id elsewhere. */
export function instanceKey({ id, url }: Instance): string {
  return JSON.stringify([id, url]);
}

function toHundredths(value: number): number {
  return Math.round(value * 100) / 100;
}
