/** Metrics for Prometheus: one function per event, labels whose number no client can grow. */
import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';
import type { LimitOutcome } from '../policies/rate-limit.ts';
import { type CacheMetrics, createCacheMetrics } from './metrics-cache.ts';
import { type ClientMetrics, createClientMetrics } from './metrics-clients.ts';
import { createDiscoveryMetrics, type DiscoveryMetrics } from './metrics-discovery.ts';
import { createQueryMetrics, type QueryMetrics } from './metrics-queries.ts';
import { createResilienceMetrics, type ResilienceMetrics } from './metrics-resilience.ts';
import { createLabelBound, createSeries } from './metrics-series.ts';

export interface MetricsOptions {
  /** Most distinct values of a label that clients or teams choose; further ones are counted as `other`. @default 500 */
  readonly maxLabelValues?: number | undefined;
  /** Whether memory, CPU, garbage collection and event-loop lag of the process are told too. @default true */
  readonly processMetrics?: boolean | undefined;
}

/** What one request was, as metrics see it. */
export interface RequestObservation {
  readonly door: string;
  /** The service of a route; empty where a request concerns several or none. */
  readonly service: string;
  /** The route's pattern or the operation's name; empty without one. Give names of valid operations only. */
  readonly name: string;
  readonly status: number;
  readonly durationMs: number;
}

/** What one attempt was: the shape of `Attempt` in the request's context. */
export interface AttemptObservation {
  readonly service: string;
  readonly instance: string;
  readonly outcome: number | string;
  readonly durationMs: number;
}

export interface Metrics {
  readonly discovery: DiscoveryMetrics;
  readonly resilience: ResilienceMetrics;
  readonly clients: ClientMetrics;
  readonly cache: CacheMetrics;
  readonly queries: QueryMetrics;
  /** A request has come in; `observeRequest` ends it. */
  observeRequestStart(door: string): void;
  observeRequest(request: RequestObservation): void;
  observeAttempt(attempt: AttemptObservation): void;
  observeBreaker(service: string, instance: string, state: 'closed' | 'half-open' | 'open'): void;
  observeHealth(service: string, instance: string, healthy: boolean): void;
  /** Calls to a service leave the gateway's zone, or stay in it again. */
  observeSpillOver(service: string, spills: boolean): void;
  /** An instance is ejected for being worse than its peers. */
  observeEjection(service: string, reason: string): void;
  /** How many instances of a service are healthy, and whether all get calls because so few are; null: it is gone. */
  observePool(service: string, pool: { readonly healthy: number; readonly panic: boolean } | null): void;
  /** A credential that somebody else judges. */
  observeCredential(kind: string, outcome: string): void;
  /** Whether the shared revocations can be read. */
  observeRevocationStore(readable: boolean): void;
  observeLimit(rule: string, outcome: LimitOutcome): void;
  observeRevision(revision: number): void;
  /** A generation of the graph serves from now on. */
  observeGraph(id: string): void;
  /** Services whose present schema is kept out of the graph. */
  observeQuarantined(count: number): void;
  observeRegistration(outcome: string): void;
  /** Worker processes that serve now. */
  observeWorkers(serving: number): void;
  /** A worker died that should not have. */
  observeWorkerDeath(): void;
  /** Whether the shared registry can be asked. */
  observeStore(available: boolean): void;
  /** Instances that are only kept because too many leases ran out at once. */
  observeSuspects(count: number): void;
  /** Drops the gauges of an instance that is gone. */
  forgetInstance(service: string, instance: string): void;
  /** The exposition format of Prometheus, and its media type. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>;
  /** The same as plain data, for another process to add up. */
  collect(): Promise<readonly MetricObjectWithValues<MetricValue<string>>[]>;
}

const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const breakerStates = { closed: 0, 'half-open': 1, open: 2 } as const;

/** Metrics in a registry of their own, so that two gateways in one process do not mix. */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const { maxLabelValues = 500, processMetrics = true } = options;
  const registry = new Registry();
  const registers = [registry];
  if (processMetrics) collectDefaultMetrics({ register: registry });

  const requests = new Counter({
    name: 'selvage_requests_total',
    help: 'Requests answered.',
    labelNames: ['door', 'service', 'name', 'status'],
    registers,
  });
  const durations = new Histogram({
    name: 'selvage_request_duration_seconds',
    help: 'Time from the head of a request to the end of its answer.',
    labelNames: ['door', 'name'],
    buckets: durationBuckets,
    registers,
  });
  const attempts = new Counter({
    name: 'selvage_upstream_attempts_total',
    help: 'Attempts to call an instance of a service, by status or error code.',
    labelNames: ['service', 'outcome'],
    registers,
  });
  const attemptDurations = new Histogram({
    name: 'selvage_upstream_duration_seconds',
    help: 'Time of an attempt.',
    labelNames: ['service'],
    buckets: durationBuckets,
    registers,
  });
  const breakers = new Gauge({
    name: 'selvage_breaker_state',
    help: 'Circuit breaker of an instance: 0 closed, 1 half-open, 2 open. Of several workers, that of the worst.',
    labelNames: ['service', 'instance'],
    aggregator: 'max',
    registers,
  });
  const healthy = new Gauge({
    name: 'selvage_instance_healthy',
    help: 'Whether an instance is taken for healthy.',
    labelNames: ['service', 'instance'],
    aggregator: 'max',
    registers,
  });
  const instanceAttempts = new Counter({
    name: 'selvage_instance_attempts_total',
    help: 'Attempts by instance: how the calls to a service are spread.',
    labelNames: ['service', 'instance'],
    registers,
  });
  const spillOver = new Gauge({
    name: 'selvage_zone_spill_over',
    help: 'Whether calls to a service leave the zone of the gateway.',
    labelNames: ['service'],
    aggregator: 'max',
    registers,
  });
  const ejections = new Counter({
    name: 'selvage_outlier_ejections_total',
    help: 'Ejections of instances that were worse than their peers.',
    labelNames: ['service', 'reason'],
    registers,
  });
  const healthyInstances = new Gauge({
    name: 'selvage_healthy_instances',
    help: 'Instances of a service that are neither unhealthy nor ejected nor draining.',
    labelNames: ['service'],
    aggregator: 'min',
    registers,
  });
  const panics = new Gauge({
    name: 'selvage_service_panic',
    help: 'Whether so few instances of a service are healthy that all get calls.',
    labelNames: ['service'],
    aggregator: 'max',
    registers,
  });
  const credentials = new Counter({
    name: 'selvage_credential_checks_total',
    help: 'Opaque tokens and sessions that were checked: remembered, or what the answer was.',
    labelNames: ['kind', 'outcome'],
    registers,
  });
  const revocationStore = new Gauge({
    name: 'selvage_revocations_readable',
    help: 'Whether the shared revocations can be read: 1 yes, 0 no. Of several workers, that of the worst.',
    // With a label there is no series, and no 0, where nothing is observed.
    labelNames: ['store'],
    aggregator: 'min',
    registers,
  });
  const limits = new Counter({
    name: 'selvage_rate_limit_decisions_total',
    help: 'Decisions of rate limits. store-error and queued come on top of allowed or refused.',
    labelNames: ['rule', 'outcome'],
    registers,
  });
  const quarantined = new Gauge({
    name: 'selvage_graph_quarantined_services',
    help: 'Services whose present schema is kept out of the graph, whether an older one serves or none.',
    aggregator: 'max',
    registers,
  });
  const revision = new Gauge({
    name: 'selvage_registry_revision',
    help: 'Revision of the registry.',
    aggregator: 'max',
    registers,
  });
  const graph = new Gauge({
    name: 'selvage_graph_info',
    help: 'The generation of the graph that serves.',
    labelNames: ['id'],
    aggregator: 'max',
    registers,
  });
  const swaps = new Counter({ name: 'selvage_graph_swaps_total', help: 'Changes of the generation.', registers });
  const store = new Gauge({
    name: 'selvage_store_available',
    help: 'Whether the shared registry can be asked. Told only where it is in Redis.',
    registers: [],
  });
  const suspects = new Gauge({
    name: 'selvage_suspect_instances',
    help: 'Instances that are kept although their lease ran out, because too many ran out at once.',
    registers,
  });
  const registrations = new Counter({
    name: 'selvage_registrations_total',
    help: 'Registrations of services, by what became of them.',
    labelNames: ['outcome'],
    registers,
  });
  const workers = new Gauge({
    name: 'selvage_workers',
    help: 'Worker processes that serve; 0 where one process does all.',
    registers,
  });
  const workerDeaths = new Counter({
    name: 'selvage_worker_deaths_total',
    help: 'Workers that died and were replaced.',
    registers,
  });
  /** Of the instances that there are: an attempt that ends later shall not bring one back that is forgotten. */
  const attemptsByInstance = new Map<string, Map<string, Counter.Internal>>();
  const inFlight = new Map<string, number>();
  new Gauge({
    name: 'selvage_requests_in_flight',
    help: 'Requests that have come in and are not answered yet.',
    labelNames: ['door'],
    registers,
    collect() {
      for (const [door, count] of inFlight) this.set({ door }, count);
    },
  });

  const bound = () => createLabelBound(maxLabelValues);
  const requestSeries = createSeries([bound(), bound(), bound(), bound()], (...labels) => requests.labels(...labels));
  const durationSeries = createSeries([bound(), bound()], (...labels) => durations.labels(...labels));
  const attemptSeries = createSeries([bound(), bound()], (...labels) => attempts.labels(...labels));
  const attemptDurationSeries = createSeries([bound()], (...labels) => attemptDurations.labels(...labels));
  const ejectionSeries = createSeries([bound(), bound()], (...labels) => ejections.labels(...labels));
  const limitSeries = createSeries([bound(), bound()], (...labels) => limits.labels(...labels));
  const registrationSeries = createSeries([bound()], (...labels) => registrations.labels(...labels));
  let graphId: string | undefined;

  return {
    discovery: createDiscoveryMetrics(registry),
    resilience: createResilienceMetrics(registry),
    clients: createClientMetrics(registry),
    cache: createCacheMetrics(registry, maxLabelValues),
    queries: createQueryMetrics(registry, maxLabelValues),
    observeRequestStart(door) {
      inFlight.set(door, (inFlight.get(door) ?? 0) + 1);
    },
    observeRequest({ door, service, name, status, durationMs }) {
      inFlight.set(door, Math.max(0, (inFlight.get(door) ?? 0) - 1));
      requestSeries(door, service, name, String(status)).inc();
      durationSeries(door, name).observe(durationMs / 1_000);
    },
    observeAttempt({ service, instance, outcome, durationMs }) {
      attemptsByInstance.get(service)?.get(instance)?.inc();
      attemptSeries(service, String(outcome)).inc();
      attemptDurationSeries(service).observe(durationMs / 1_000);
    },
    observeBreaker(service, instance, state) {
      breakers.set({ service, instance }, breakerStates[state]);
    },
    observeHealth(service, instance, isHealthy) {
      healthy.set({ service, instance }, isHealthy ? 1 : 0);
      const counts = attemptsByInstance.get(service) ?? new Map<string, Counter.Internal>();
      attemptsByInstance.set(service, counts);
      if (!counts.has(instance)) counts.set(instance, instanceAttempts.labels(service, instance));
    },
    observeSpillOver(service, spills) {
      spillOver.set({ service }, spills ? 1 : 0);
    },
    observeEjection(service, reason) {
      ejectionSeries(service, reason).inc();
    },
    observePool(service, pool) {
      if (pool === null) {
        healthyInstances.remove(service);
        panics.remove(service);
      } else {
        healthyInstances.set({ service }, pool.healthy);
        panics.set({ service }, pool.panic ? 1 : 0);
      }
    },
    observeCredential: (kind, outcome) => credentials.inc({ kind, outcome }),
    observeRevocationStore: (readable) => revocationStore.set({ store: 'redis' }, readable ? 1 : 0),
    observeLimit(rule, outcome) {
      limitSeries(rule, outcome).inc();
    },
    observeRevision(number) {
      revision.set(number);
    },
    observeQuarantined(count) {
      quarantined.set(count);
    },
    observeGraph(id) {
      if (id === graphId) return;
      if (graphId !== undefined) {
        graph.remove(graphId);
        swaps.inc();
      }
      graphId = id;
      graph.set({ id }, 1);
    },
    observeRegistration(outcome) {
      registrationSeries(outcome).inc();
    },
    observeWorkers(serving) {
      workers.set(serving);
    },
    observeWorkerDeath() {
      workerDeaths.inc();
    },
    observeStore(available) {
      registry.registerMetric(store);
      store.set(available ? 1 : 0);
    },
    observeSuspects(count) {
      suspects.set(count);
    },
    forgetInstance(service, instance) {
      breakers.remove(service, instance);
      healthy.remove(service, instance);
      instanceAttempts.remove(service, instance);
      const counts = attemptsByInstance.get(service);
      counts?.delete(instance);
      if (counts?.size === 0) {
        attemptsByInstance.delete(service);
        spillOver.remove(service);
      }
    },
    async render() {
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    collect: () => registry.getMetricsAsJSON(),
  };
}
