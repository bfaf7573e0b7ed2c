/** What becomes of requests to routes that are retired. */
import { Counter, type Registry } from 'prom-client';

export interface RouteMetrics {
  /** All labels come from the configuration. */
  observeRetired(service: string, route: string, outcome: string): void;
}

export function createRouteMetrics(registry: Registry): RouteMetrics {
  const retired = new Counter({
    name: 'selvage_retired_route_requests_total',
    help: 'Requests to routes that are retired, by what became of them: served, moved to the replacement, gone (410).',
    labelNames: ['service', 'route', 'outcome'],
    registers: [registry],
  });
  return { observeRetired: (service, route, outcome) => retired.inc({ service, route, outcome }) };
}
