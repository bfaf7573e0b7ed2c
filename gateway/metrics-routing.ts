/** Where requests of routes go: variants and mirrors. */
import { Counter, type Registry } from 'prom-client';
import { createLabelBound, createSeries } from './metrics-series.ts';

export interface RoutingMetrics {
  /** A request of a route with a split went to this variant. */
  onVariant(service: string, variant: string): void;
  /** What became of a copy of a request: `sent`, `failed`, `equal`, `different`, or why there was none. */
  onMirror(service: string, outcome: string): void;
}

export function createRoutingMetrics(registry: Registry, maxLabelValues: number): RoutingMetrics {
  const registers = [registry];
  const variants = new Counter({
    name: 'selvage_route_variant_requests_total',
    help: 'Requests of routes with a split, by the service of the route and the variant that they went to.',
    labelNames: ['service', 'variant'],
    registers,
  });
  const mirrors = new Counter({
    name: 'selvage_mirror_requests_total',
    help: 'Copies of requests for mirrors, by the service of the route and what became of them.',
    labelNames: ['service', 'outcome'],
    registers,
  });
  const bound = () => createLabelBound(maxLabelValues);
  const variantSeries = createSeries([bound(), bound()], (...labels) => variants.labels(...labels));
  const mirrorSeries = createSeries([bound(), bound()], (...labels) => mirrors.labels(...labels));
  return {
    onVariant: (service, variant) => variantSeries(service, variant).inc(),
    onMirror: (service, outcome) => mirrorSeries(service, outcome).inc(),
  };
}
