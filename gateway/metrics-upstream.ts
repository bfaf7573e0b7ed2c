/** How services and their instances do, as the calls see them. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { createLabelBound, createSeries, durationBuckets } from './metrics-series.ts';
import { createTalliedCounter, createTalliedHistogram, Tally } from './metrics-tally.ts';

/** What one attempt was: the shape of `Attempt` in the request's context. */
export interface AttemptObservation {
  readonly service: string;
  readonly instance: string;
  readonly outcome: number | string;
  readonly durationMs: number;
}

export interface UpstreamMetrics {
  observeAttempt(attempt: AttemptObservation): void;
  observeBreaker(service: string, instance: string, state: 'closed' | 'half-open' | 'open'): void;
  observeHealth(service: string, instance: string, healthy: boolean): void;
  /** Calls to a service leave the gateway's zone, or stay in it again. */
  observeSpillOver(service: string, spills: boolean): void;
  /** An instance is ejected for being worse than its peers. */
  observeEjection(service: string, reason: string): void;
  /** How many instances of a service are healthy, and whether all get calls because so few are; null: it is gone. */
  observePool(service: string, pool: { readonly healthy: number; readonly panic: boolean } | null): void;
  /** Drops the gauges of an instance that is gone. */
  forgetInstance(service: string, instance: string): void;
}

const breakerStates = { closed: 0, 'half-open': 1, open: 2 } as const;

/** Metrics of calls, in a registry. */
export function createUpstreamMetrics(registry: Registry, maxLabelValues: number): UpstreamMetrics {
  const registers = [registry];
  const bound = () => createLabelBound(maxLabelValues);
  const attemptSeries = createTalliedCounter({
    name: 'selvage_upstream_attempts_total',
    help: 'Attempts to call an instance of a service, by status or error code.',
    labelNames: ['service', 'outcome'],
    registry,
    bounds: [bound(), bound()],
  });
  const attemptDurationSeries = createTalliedHistogram({
    name: 'selvage_upstream_duration_seconds',
    help: 'Time of an attempt.',
    labelNames: ['service'],
    registry,
    bounds: [bound()],
    buckets: durationBuckets,
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
    collect() {
      for (const counts of attemptsByInstance.values()) for (const tally of counts.values()) tally.tell();
    },
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
  /** Of the instances that there are: an attempt that ends later shall not bring one back that is forgotten. */
  const attemptsByInstance = new Map<string, Map<string, Tally>>();

  const ejectionSeries = createSeries([bound(), bound()], (...labels) => ejections.labels(...labels));

  return {
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
      const counts = attemptsByInstance.get(service) ?? new Map<string, Tally>();
      attemptsByInstance.set(service, counts);
      if (!counts.has(instance)) counts.set(instance, new Tally(instanceAttempts.labels(service, instance)));
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
  };
}
