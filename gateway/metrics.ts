/** Metrics for Prometheus: one function per event, labels whose number no client can grow. */
import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';
import type { LimitOutcome } from '../policies/rate-limit.ts';
import { type CacheMetrics, createCacheMetrics } from './metrics-cache.ts';
import { type ClientMetrics, createClientMetrics } from './metrics-clients.ts';
import { createDiscoveryMetrics, type DiscoveryMetrics } from './metrics-discovery.ts';
import { createGrpcMetrics, type GrpcMetrics } from './metrics-grpc.ts';
import { createOwnMetrics, type OwnMetrics } from './metrics-own.ts';
import { createPluginMetrics, type PluginMetrics } from './metrics-plugins.ts';
import { createQueryMetrics, type QueryMetrics } from './metrics-queries.ts';
import { createResilienceMetrics, type ResilienceMetrics } from './metrics-resilience.ts';
import { createRouteMetrics, type RouteMetrics } from './metrics-routes.ts';
import { createRoutingMetrics, type RoutingMetrics } from './metrics-routing.ts';
import { createLabelBound, createSeries, durationBuckets } from './metrics-series.ts';
import { createTalliedCounter, createTalliedHistogram } from './metrics-tally.ts';
import { createTlsMetrics, type TlsMetrics } from './metrics-tls.ts';
import { createUpgradeMetrics, type UpgradeMetrics } from './metrics-upgrades.ts';
import { createUpstreamMetrics, type UpstreamMetrics } from './metrics-upstream.ts';
import { createValidationMetrics } from './metrics-validation.ts';

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

export interface Metrics extends UpstreamMetrics {
  readonly discovery: DiscoveryMetrics;
  readonly resilience: ResilienceMetrics;
  readonly validation: ReturnType<typeof createValidationMetrics>;
  readonly routes: RouteMetrics;
  readonly grpc: GrpcMetrics;
  readonly clients: ClientMetrics;
  readonly cache: CacheMetrics;
  readonly plugins: PluginMetrics;
  readonly own: OwnMetrics;
  readonly tls: TlsMetrics;
  readonly queries: QueryMetrics;
  readonly routing: RoutingMetrics;
  readonly upgrades: UpgradeMetrics;
  /** A request has come in; `observeRequest` ends it. */
  observeRequestStart(door: string): void;
  observeRequest(request: RequestObservation): void;
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
  /** The exposition format of Prometheus, and its media type. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>;
  /** The same as plain data, for another process to add up. */
  collect(): Promise<readonly MetricObjectWithValues<MetricValue<string>>[]>;
}

/** Metrics in a registry of their own, so that two gateways in one process do not mix. */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const { maxLabelValues = 500, processMetrics = true } = options;
  const registry = new Registry();
  const registers = [registry];
  if (processMetrics) collectDefaultMetrics({ register: registry });

  const bound = () => createLabelBound(maxLabelValues);
  const requestSeries = createTalliedCounter({
    name: 'selvage_requests_total',
    help: 'Requests answered.',
    labelNames: ['door', 'service', 'name', 'status'],
    registry,
    bounds: [bound(), bound(), bound(), bound()],
  });
  const durationSeries = createTalliedHistogram({
    name: 'selvage_request_duration_seconds',
    help: 'Time from the head of a request to the end of its answer.',
    labelNames: ['door', 'name'],
    registry,
    bounds: [bound(), bound()],
    buckets: durationBuckets,
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
  const limitSeries = createTalliedCounter({
    name: 'selvage_rate_limit_decisions_total',
    help: 'Decisions of rate limits. store-error and queued come on top of allowed or refused.',
    labelNames: ['rule', 'outcome'],
    registry,
    bounds: [bound(), bound()],
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

  const registrationSeries = createSeries([bound()], (...labels) => registrations.labels(...labels));
  let graphId: string | undefined;

  return {
    ...createUpstreamMetrics(registry, maxLabelValues),
    discovery: createDiscoveryMetrics(registry),
    resilience: createResilienceMetrics(registry),
    validation: createValidationMetrics(registry),
    routes: createRouteMetrics(registry),
    grpc: createGrpcMetrics(registry, maxLabelValues),
    clients: createClientMetrics(registry),
    cache: createCacheMetrics(registry, maxLabelValues),
    plugins: createPluginMetrics(registry),
    own: createOwnMetrics(registry),
    tls: createTlsMetrics(registry),
    queries: createQueryMetrics(registry, maxLabelValues),
    routing: createRoutingMetrics(registry, maxLabelValues),
    upgrades: createUpgradeMetrics(registry, maxLabelValues),
    observeRequestStart(door) {
      inFlight.set(door, (inFlight.get(door) ?? 0) + 1);
    },
    observeRequest({ door, service, name, status, durationMs }) {
      inFlight.set(door, Math.max(0, (inFlight.get(door) ?? 0) - 1));
      requestSeries(door, service, name, String(status)).inc();
      durationSeries(door, name).observe(durationMs / 1_000);
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
    async render() {
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    collect: () => registry.getMetricsAsJSON(),
  };
}
