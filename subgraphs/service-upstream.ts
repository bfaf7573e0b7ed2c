/** One service as the call sees it: its settings, its retry budget, and which of its instances may be chosen. */
import { isDeepStrictEqual } from 'node:util';
import { Bulkhead } from '../policies/bulkhead.ts';
import { GatewayError } from '../policies/errors.ts';
import { LatencyQuantile } from '../policies/latency-quantile.ts';
import { buildOutlierDetection, type OutlierDetection } from '../policies/outlier-detection.ts';
import { buildResilience, type Resilience, type ResilienceOptions } from '../policies/resilience.ts';
import { RetryBudget } from '../policies/retry-budget.ts';
import { type Balancer, createBalancer } from './balancer.ts';
import type { BalancingSubject } from './balancing-key.ts';
import type { AcceptsVersion } from './call.ts';
import { CandidateGroup } from './candidate-group.ts';
import type { GraphqlEndpoint } from './graphql-endpoint.ts';
import { buildHealthSettings } from './health-settings.ts';
import { type InstanceTransport, speaksHttp2 } from './instance-connector.ts';
import { InstanceState, type InstanceSurroundings, instanceKey } from './instance-state.ts';
import { type BalancingSettings, buildBalancingSettings } from './load-balancing-options.ts';
import { OutlierDetector } from './outlier-detector.ts';
import { assessPool, isOpen, type PoolHealth } from './pool-health.ts';
import { ServiceBreaker } from './service-breaker.ts';
import { ServiceTls } from './service-tls.ts';
import type { Service } from './snapshot.ts';
import { StickySessions } from './sticky-sessions.ts';
import { hasVersion, isPickable, UpstreamChoice } from './upstream-choice.ts';
import { judgeZone, type SpillOver } from './zone-preference.ts';

/** What the gateway's configuration says about all services. */
export interface UpstreamDefaults {
  readonly resilience: ResilienceOptions;
  /** Where the gateway runs; undefined: no zone comes first. */
  readonly zone?: string | undefined;
  /** For cookies of sessions. The first one signs; all are believed. */
  readonly sessionSecrets: readonly string[];
}

/** How often slow start and the state of the zone are looked at again, at most. */
const upkeepMs = 50;

export class ServiceUpstream {
  readonly name: string;
  readonly budget: RetryBudget;
  readonly hedgingBudget: RetryBudget;
  /** Time to the head of the answer of calls that may be hedged. */
  readonly usualLatency = new LatencyQuantile(0.95);
  readonly bulkhead: Bulkhead;
  /** Of the service as a whole. */
  readonly breaker: ServiceBreaker;
  settings: Resilience;
  /** Sessions at the REST door; null where they are not wished. */
  sessions: StickySessions<InstanceState> | null = null;
  #service: Service;
  #balancing: BalancingSettings;
  #balance: Balancer;
  #instances = new Map<string, InstanceState>();
  /** Those that are not draining, in the order of the snapshot. */
  #rotation = new CandidateGroup<InstanceState>([]);
  /** Those of the rotation in the gateway's zone; null when no zone comes first. */
  #local: CandidateGroup<InstanceState> | null = null;
  /** By zone, those of the rotation in it. */
  #zones: ReadonlyMap<string, CandidateGroup<InstanceState>> = new Map();
  #spillOver: SpillOver = null;
  #upkeepAtMs = 0;
  #defaults: UpstreamDefaults;
  readonly #choice = new UpstreamChoice();
  readonly #surroundings: InstanceSurroundings;
  readonly #detector: OutlierDetector;
  readonly #tls: ServiceTls;
  #outliers: OutlierDetection;
  #health: PoolHealth = { instances: 0, healthy: 0, panic: false };
  /** Whether the registry names it. What has left can still be called for a while, but is nobody's concern. */
  #listed = true;

  constructor(service: Service, defaults: UpstreamDefaults, surroundings: InstanceSurroundings) {
    this.name = service.name;
    this.#service = service;
    this.#defaults = defaults;
    this.#surroundings = surroundings;
    this.settings = buildResilience(service.definition, defaults.resilience);
    this.budget = new RetryBudget({ ratio: this.settings.retryBudget, now: surroundings.now });
    this.bulkhead = new Bulkhead(service.name, this.settings.bulkhead, surroundings.processes);
    this.breaker = new ServiceBreaker(service.name, this.settings.serviceBreaker, (state) =>
      surroundings.observer?.onServiceBreakerChange?.(service.name, state),
    );
    this.hedgingBudget = new RetryBudget({ ratio: this.settings.hedgingBudget, now: surroundings.now });
    this.#balancing = buildBalancingSettings(service.definition.loadBalancing);
    this.#balance = createBalancer(this.#balancing, surroundings.random);
    this.#outliers = buildOutlierDetection(service.definition, defaults.resilience);
    this.#detector = new OutlierDetector(this.#outliers, surroundings.clock);
    this.#tls = new ServiceTls({
      onChange: () => this.#setInstances(),
      onTold: (error) => surroundings.observer?.onTlsChange?.(service.name, error),
    });
    this.#tls.configure(service.definition.tls);
    this.#setInstances();
  }

  get instances(): readonly InstanceState[] {
    return [...this.#instances.values()];
  }

  /** How many of its instances are healthy, and whether all of them get calls because so few are. */
  get health(): PoolHealth {
    return this.#health;
  }

  /** What the service says of its GraphQL endpoint; undefined when it has none. */
  get endpoint(): GraphqlEndpoint | undefined {
    return this.#service.definition.graphql;
  }

  /** Takes over what a new snapshot, or a new configuration, says. */
  configure(service: Service, defaults: UpstreamDefaults): void {
    if (service === this.#service && defaults === this.#defaults && this.#listed) return;
    this.#listed = true;
    this.#service = service;
    this.#defaults = defaults;
    this.settings = buildResilience(service.definition, defaults.resilience);
    this.budget.configure(this.settings.retryBudget);
    this.bulkhead.configure(this.settings.bulkhead, this.#surroundings.processes);
    this.breaker.configure(this.settings.serviceBreaker);
    this.hedgingBudget.configure(this.settings.hedgingBudget);
    this.#outliers = buildOutlierDetection(service.definition, defaults.resilience);
    this.#detector.configure(this.#outliers);
    this.#tls.configure(service.definition.tls);
    const balancing = buildBalancingSettings(service.definition.loadBalancing);
    if (!isDeepStrictEqual(balancing, this.#balancing)) {
      this.#balancing = balancing;
      this.#balance = createBalancer(balancing, this.#surroundings.random);
    }
    this.#setInstances();
  }

  /**
   * An instance that may take a call now and is none of those tried; undefined when there is none. `holder`: the one
   * that has the client's session, if it has any.
   */
  pick(
    nowMs: number,
    tried: readonly InstanceState[],
    subject: BalancingSubject,
    holder: InstanceState | undefined = undefined,
    accepts?: AcceptsVersion,
    zone?: string,
  ): InstanceState | undefined {
    if (nowMs >= this.#upkeepAtMs) this.#keepUp(nowMs);
    const choice = this.#choice.about(nowMs, tried, subject, accepts);
    if (holder !== undefined && choice.accepts(holder)) return holder;
    const near = zone === undefined ? this.#nearGateway(choice) : this.#nearZone(zone, choice);
    return near ?? this.#balance(this.#rotation, choice);
  }

  #nearGateway(choice: UpstreamChoice): InstanceState | undefined {
    return this.#local !== null && this.#spillOver === null ? this.#balance(this.#local, choice) : undefined;
  }

  /** What a request prefers is judged as the gateway's own zone is: too few or too busy instances, and all are asked. */
  #nearZone(zone: string, choice: UpstreamChoice): InstanceState | undefined {
    const group = this.#zones.get(zone);
    if (group === undefined || judgeZone(group.members, this.#balancing, choice.nowMs) !== null) return undefined;
    return this.#balance(group, choice);
  }

  /** Whether {@link pick} would find one. */
  hasAvailable(nowMs: number, tried: readonly InstanceState[], accepts?: AcceptsVersion): boolean {
    return this.#rotation.members.some((instance) => isPickable(instance, nowMs, tried, accepts));
  }

  /** Why no instance can be chosen. */
  refusal(nowMs: number, accepts?: AcceptsVersion): GatewayError {
    const healthy = this.#rotation.members.filter(
      (instance) => instance.health.isOpen && hasVersion(instance, accepts),
    );
    const options = { service: this.name, retryAfterSeconds: 1 };
    if (healthy.length === 0) return new GatewayError('SERVICE_UNAVAILABLE', undefined, options);
    if (healthy.some((instance) => instance.isFull && instance.breaker.isReady(nowMs))) {
      return new GatewayError('OVERLOADED', undefined, options);
    }
    const soonestMs = Math.min(...healthy.map((instance) => instance.breaker.retryAfterMs(nowMs)));
    return new GatewayError('CIRCUIT_BREAKER_OPEN', undefined, { ...options, retryAfterSeconds: soonestMs / 1_000 });
  }

  /** The service left the registry; requests that began before may still need it. */
  leave(): void {
    this.#listed = false;
    this.#surroundings.observer?.onPoolChange?.(this.name, null);
  }

  /** Nobody needs it any more. */
  retire(): void {
    this.#setRotation([]);
    this.#detector.stop();
    this.#tls.close();
    for (const instance of this.#instances.values()) instance.retire();
  }

  #setInstances(): void {
    const health = buildHealthSettings(this.#service.definition);
    const transport = this.#transport();
    const previous = this.#instances;
    // Of those that are there at the start nobody knows how long they have been.
    const startsSlowly = previous.size > 0;
    this.#instances = new Map();
    for (const instance of this.#service.instances) {
      const key = instanceKey(instance);
      const known = previous.get(key);
      known?.configure(instance, this.settings, health, this.#balancing, transport);
      this.#instances.set(key, known ?? this.#createInstance(instance, startsSlowly));
      previous.delete(key);
    }
    this.#setRotation([...this.#instances.values()].filter((instance) => !instance.draining));
    for (const gone of previous.values()) gone.retire();
    this.#detector.setMembers(this.#rotation.members.map((instance) => instance.health.outlier));
    this.#assess();
  }

  /** Decides anew who gets calls, so that a call need only look it up. */
  #assess(): void {
    const members = this.#rotation.members.map((instance) => instance.health);
    this.#health = assessPool(members, this.#outliers.panicShare);
    for (const member of members) member.isOpen = isOpen(member, this.#health.panic);
    if (this.#listed) this.#surroundings.observer?.onPoolChange?.(this.name, this.#health);
  }

  #transport(): InstanceTransport {
    return { http2: speaksHttp2(this.#service.definition), tls: this.#tls.current };
  }

  #createInstance(instance: Service['instances'][number], startsSlowly: boolean): InstanceState {
    const health = buildHealthSettings(this.#service.definition);
    const pool = { detector: this.#detector, onChange: () => this.#assess() };
    const { settings } = this;
    const transport = this.#transport();
    const surroundings = this.#surroundings;
    const state = new InstanceState(
      ...([this.name, instance, settings, health, this.#balancing, surroundings, pool, transport] as const),
    );
    if (startsSlowly) state.startRamp(this.#surroundings.now());
    return state;
  }

  #setRotation(rotation: readonly InstanceState[]): void {
    const { zone, sessionSecrets: secrets } = this.#defaults;
    const { sticky: options, prefersZone } = this.#balancing;
    this.#rotation = new CandidateGroup(rotation);
    const local = zone === undefined || !prefersZone ? [] : rotation.filter((instance) => instance.zone === zone);
    this.#local = local.length > 0 && local.length < rotation.length ? new CandidateGroup(local) : null;
    const byZone = Map.groupBy(rotation, (instance) => instance.zone ?? '');
    this.#zones = new Map([...byZone].map(([name, members]) => [name, new CandidateGroup(members)]));
    this.sessions = options === null ? null : new StickySessions({ service: this.name, options, secrets }, rotation);
    this.#upkeepAtMs = 0;
  }

  #keepUp(nowMs: number): void {
    this.#upkeepAtMs = nowMs + upkeepMs;
    if (this.#balancing.slowStartMs > 0) {
      for (const instance of this.#rotation.members) if (instance.ramp < 1) instance.updateRamp(nowMs);
    }
    const spillOver = this.#local === null ? null : judgeZone(this.#local.members, this.#balancing, nowMs);
    if (spillOver === this.#spillOver) return;
    this.#spillOver = spillOver;
    this.#surroundings.observer?.onSpillOver?.(this.name, spillOver);
  }
}
