/** One service as the call sees it: its settings, its retry budget, and which of its instances may be chosen. */
import { GatewayError } from '../policies/errors.ts';
import { buildResilience, type Resilience, type ResilienceOptions } from '../policies/resilience.ts';
import { RetryBudget } from '../policies/retry-budget.ts';
import { type Balancer, createBalancer } from './balancer.ts';
import type { AcceptsVersion } from './call.ts';
import { buildHealthSettings } from './health-monitor.ts';
import { InstanceState, type InstanceSurroundings } from './instance-state.ts';
import type { BalancingAlgorithm, GraphqlEndpoint } from './service-definition.ts';
import type { Service } from './snapshot.ts';

export class ServiceUpstream {
  readonly name: string;
  readonly budget: RetryBudget;
  settings: Resilience;
  #service: Service;
  #algorithm: BalancingAlgorithm;
  #balance: Balancer;
  /** By id and URL: an instance that moves is another one. */
  #instances = new Map<string, InstanceState>();
  /** Those that are not draining, in the order of the snapshot. */
  #rotation: readonly InstanceState[] = [];
  #defaults: ResilienceOptions;
  readonly #surroundings: InstanceSurroundings;

  constructor(service: Service, defaults: ResilienceOptions, surroundings: InstanceSurroundings) {
    this.name = service.name;
    this.#service = service;
    this.#defaults = defaults;
    this.#surroundings = surroundings;
    this.settings = buildResilience(service.definition, defaults);
    this.budget = new RetryBudget({ ratio: this.settings.retryBudget, now: surroundings.now });
    this.#algorithm = algorithmOf(service);
    this.#balance = createBalancer(this.#algorithm, surroundings.random);
    this.#setInstances();
  }

  get instances(): readonly InstanceState[] {
    return [...this.#instances.values()];
  }

  /** What the service says of its GraphQL endpoint; undefined when it has none. */
  get endpoint(): GraphqlEndpoint | undefined {
    return this.#service.definition.graphql;
  }

  /** Takes over what a new snapshot, or a new configuration, says. */
  configure(service: Service, defaults: ResilienceOptions): void {
    if (service === this.#service && defaults === this.#defaults) return;
    this.#service = service;
    this.#defaults = defaults;
    this.settings = buildResilience(service.definition, this.#defaults);
    this.budget.configure(this.settings.retryBudget);
    const algorithm = algorithmOf(service);
    if (algorithm !== this.#algorithm) {
      this.#algorithm = algorithm;
      this.#balance = createBalancer(algorithm, this.#surroundings.random);
    }
    this.#setInstances();
  }

  /** An instance that may take a call now and is none of those tried; undefined when there is none. */
  pick(nowMs: number, tried: readonly InstanceState[], accepts?: AcceptsVersion): InstanceState | undefined {
    const rotation = this.#listAccepted(accepts);
    // Nearly always all of them may be chosen: then no list is made.
    if (rotation.every((instance) => isPickable(instance, nowMs, tried))) return this.#balance(rotation);
    return this.#balance(rotation.filter((instance) => isPickable(instance, nowMs, tried)));
  }

  /** Whether {@link pick} would find one. */
  hasAvailable(nowMs: number, tried: readonly InstanceState[], accepts?: AcceptsVersion): boolean {
    return this.#listAccepted(accepts).some((instance) => isPickable(instance, nowMs, tried));
  }

  /** Why no instance can be chosen. */
  refusal(nowMs: number, accepts?: AcceptsVersion): GatewayError {
    const healthy = this.#listAccepted(accepts).filter((instance) => instance.health.state === 'healthy');
    const options = { service: this.name, retryAfterSeconds: 1 };
    if (healthy.length === 0) return new GatewayError('SERVICE_UNAVAILABLE', undefined, options);
    if (healthy.some((instance) => instance.isFull && instance.breaker.isReady(nowMs))) {
      return new GatewayError('OVERLOADED', undefined, options);
    }
    const soonestMs = Math.min(...healthy.map((instance) => instance.breaker.retryAfterMs(nowMs)));
    return new GatewayError('CIRCUIT_BREAKER_OPEN', undefined, { ...options, retryAfterSeconds: soonestMs / 1_000 });
  }

  /** The service left the registry. */
  retire(): void {
    this.#rotation = [];
    for (const instance of this.#instances.values()) instance.retire();
  }

  #listAccepted(accepts: AcceptsVersion | undefined): readonly InstanceState[] {
    return accepts === undefined ? this.#rotation : this.#rotation.filter(({ version }) => accepts(version));
  }

  #setInstances(): void {
    const health = buildHealthSettings(this.#service.definition.health);
    const previous = this.#instances;
    this.#instances = new Map();
    for (const instance of this.#service.instances) {
      const key = JSON.stringify([instance.id, instance.url]);
      const known = previous.get(key);
      known?.configure(instance, this.settings, health);
      const state = known ?? new InstanceState(this.name, instance, this.settings, health, this.#surroundings);
      this.#instances.set(key, state);
      previous.delete(key);
    }
    this.#rotation = [...this.#instances.values()].filter((instance) => !instance.draining);
    for (const gone of previous.values()) gone.retire();
  }
}

function isPickable(instance: InstanceState, nowMs: number, tried: readonly InstanceState[]): boolean {
  return instance.isAvailable(nowMs) && (tried.length === 0 || !tried.includes(instance));
}

function algorithmOf(service: Service): BalancingAlgorithm {
  return service.definition.loadBalancing?.algorithm ?? 'least-connections';
}
