/** How providers of instances do, by service and provider: as many series as services that name one. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface DiscoveryMetrics {
  observeAnswer(service: string, provider: string, instances: number): void;
  observeFailure(service: string, provider: string): void;
  /** Drops the series of what is not asked any more. */
  forget(service: string, provider: string): void;
}

export function createDiscoveryMetrics(registry: Registry): DiscoveryMetrics {
  const shared = { labelNames: ['service', 'provider'] as const, registers: [registry] };
  const up = new Gauge({
    name: 'selvage_discovery_up',
    help: 'Whether a provider answers for a service. While it does not, its last answer serves.',
    ...shared,
  });
  const instances = new Gauge({
    name: 'selvage_discovery_instances',
    help: 'Instances of the last answer of a provider.',
    ...shared,
  });
  const answeredAt = new Gauge({
    name: 'selvage_discovery_last_answer_timestamp_seconds',
    help: 'When a provider answered last, in Unix time.',
    ...shared,
  });
  const failures = new Counter({
    name: 'selvage_discovery_failures_total',
    help: 'Failures of a provider to answer for a service.',
    ...shared,
  });
  return {
    observeAnswer(service, provider, count) {
      up.set({ service, provider }, 1);
      instances.set({ service, provider }, count);
      answeredAt.set({ service, provider }, Date.now() / 1_000);
    },
    observeFailure(service, provider) {
      up.set({ service, provider }, 0);
      failures.inc({ service, provider });
    },
    forget(service, provider) {
      for (const metric of [up, instances, answeredAt, failures]) metric.remove({ service, provider });
    },
  };
}
