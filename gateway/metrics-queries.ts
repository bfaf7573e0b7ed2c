/** How large operations are, what limits did, and how they named themselves. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { createLabelBound, createSeries } from './metrics-series.ts';

export interface QueryMetrics {
  onDepth(viewerClass: string, depth: number): void;
  onCost(viewerClass: string, cost: number): void;
  /** An operation was over a limit; all labels come from the configuration. */
  onExcess(code: string, viewerClass: string, refused: boolean): void;
  onPersisted(outcome: string, clientName: string): void;
  /** How many trusted documents there are: asked at each scrape. */
  watchDocuments(count: () => number): void;
}

export function createQueryMetrics(registry: Registry, maxLabelValues: number): QueryMetrics {
  const registers = [registry];
  const depths = new Histogram({
    name: 'selvage_graphql_operation_depth',
    help: 'Levels of operations, by class of viewer.',
    labelNames: ['class'],
    buckets: [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50],
    registers,
  });
  const costs = new Histogram({
    name: 'selvage_graphql_operation_cost',
    help: 'What operations cost, by class of viewer. Only where a limit or `limits.mode: measure` asks for it.',
    labelNames: ['class'],
    buckets: [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000],
    registers,
  });
  const excesses = new Counter({
    name: 'selvage_graphql_limit_exceeded_total',
    help: 'Operations over a limit, by code, class of viewer, and whether they were refused.',
    labelNames: ['code', 'class', 'refused'],
    registers,
  });
  const persisted = new Counter({
    name: 'selvage_graphql_persisted_operations_total',
    help: 'Operations by id or judged by the list of trusted documents, by outcome and name of the client.',
    labelNames: ['outcome', 'client'],
    registers,
  });
  let countDocuments = (): number => 0;
  new Gauge({
    name: 'selvage_graphql_trusted_documents',
    help: 'Trusted documents that are loaded. Of several workers, those of the one with the most.',
    aggregator: 'max',
    registers,
    collect() {
      this.set(countDocuments());
    },
  });
  const bound = () => createLabelBound(maxLabelValues);
  const depthSeries = createSeries([bound()], (...labels) => depths.labels(...labels));
  const costSeries = createSeries([bound()], (...labels) => costs.labels(...labels));
  const persistedSeries = createSeries([bound(), bound()], (...labels) => persisted.labels(...labels));
  return {
    onDepth: (viewerClass, depth) => depthSeries(viewerClass).observe(depth),
    onCost: (viewerClass, cost) => costSeries(viewerClass).observe(cost),
    onExcess: (code, viewerClass, refused) => excesses.inc({ code, class: viewerClass, refused: String(refused) }),
    onPersisted: (outcome, clientName) => persistedSeries(outcome, clientName).inc(),
    watchDocuments(count) {
      countDocuments = count;
    },
  };
}
