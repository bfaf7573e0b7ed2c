/** Metrics of many processes as those of one gateway. */
import { AggregatorRegistry } from 'prom-client';
import type { MetricsJson } from './worker-messages.ts';

export interface WorkerMetrics {
  /** What a worker counted so far. */
  observe(worker: number, metrics: MetricsJson): void;
  /** The worker is gone. What it counted stays in the sums: a sum that fell would look like a restart to Prometheus. */
  retire(worker: number): void;
  /** All of it, with what this process counted itself. */
  render(own: MetricsJson): Promise<{ readonly contentType: string; readonly body: string }>;
}

export function createWorkerMetrics(): WorkerMetrics {
  const living = new Map<number, MetricsJson>();
  let retired: MetricsJson = [];
  return {
    observe(worker, metrics) {
      living.set(worker, metrics);
    },
    retire(worker) {
      const counted = living.get(worker)?.filter(isSum) ?? [];
      living.delete(worker);
      if (counted.length > 0) retired = sum([retired, counted]);
    },
    async render(own) {
      const registry = AggregatorRegistry.aggregate([own, ...living.values(), retired] as never);
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

/** Counters and histograms go on; a gauge of a process that is gone says nothing. */
function isSum({ type, aggregator }: MetricsJson[number]): boolean {
  return (String(type) === 'counter' || String(type) === 'histogram') && aggregator === 'sum';
}

function sum(metrics: readonly MetricsJson[]): MetricsJson {
  const registry = AggregatorRegistry.aggregate(metrics as never);
  return (registry.getMetricsAsArray() as unknown as { get(): MetricsJson[number] }[]).map((metric) => metric.get());
}
