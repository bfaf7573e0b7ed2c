/** How caches do: REST by service, GraphQL as a whole. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { CacheObserver } from '../subgraphs/http-cache-exchange.ts';
import { createLabelBound, createSeries } from './metrics-series.ts';
import { createTalliedCounter } from './metrics-tally.ts';

export interface CacheMetrics extends CacheObserver {
  /** An operation of the GraphQL door whose answer may be kept. */
  onOperation(outcome: 'hit' | 'stale' | 'collapsed' | 'miss' | 'bypass'): void;
  onOperationStored(sizeBytes: number): void;
  /** An answer made room for others. */
  onEvict(): void;
  /** Answers were dropped because they are not true any more. */
  onInvalidated(count: number): void;
  /** How many bytes are held now: asked at each scrape. */
  watchSize(sizeBytes: () => number): void;
}

export function createCacheMetrics(registry: Registry, maxLabelValues: number): CacheMetrics {
  const registers = [registry];
  const bound = () => createLabelBound(maxLabelValues);
  const requestSeries = createTalliedCounter({
    name: 'selvage_cache_requests_total',
    help: 'Requests before a cache, by what became of them. Those of routes and operations that keep nothing are not counted.',
    labelNames: ['door', 'service', 'outcome'],
    registry,
    bounds: [bound(), bound(), bound()],
  });
  const stored = new Counter({
    name: 'selvage_cache_stored_bytes_total',
    help: 'Bytes of bodies that were put into a cache.',
    labelNames: ['door', 'service'],
    registers,
  });
  const evictions = new Counter({
    name: 'selvage_cache_evictions_total',
    help: 'Answers that left the memory of a process to make room for others.',
    registers,
  });
  const invalidated = new Counter({
    name: 'selvage_cache_invalidated_total',
    help: 'Answers that were dropped because of mutations or by an administrator.',
    registers,
  });
  let measure = (): number => 0;
  new Gauge({
    name: 'selvage_cache_bytes',
    help: 'Memory that cached answers take; 0 where they are in Redis.',
    registers,
    collect() {
      this.set(measure());
    },
  });
  const storedSeries = createSeries([bound(), bound()], (...labels) => stored.labels(...labels));
  return {
    onRequest: (service, outcome) => requestSeries('rest', service, outcome).inc(),
    onStored: (service, sizeBytes) => storedSeries('rest', service).inc(sizeBytes),
    onOperation: (outcome) => requestSeries('graphql', '', outcome).inc(),
    onOperationStored: (sizeBytes) => storedSeries('graphql', '').inc(sizeBytes),
    onEvict: () => evictions.inc(),
    onInvalidated: (count) => invalidated.inc(count),
    watchSize(sizeBytes) {
      measure = sizeBytes;
    },
  };
}
