/** What resilience does for clients and services: breakers, substitutes, retries and hedges, requests that are shed. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { BreakerState } from '../policies/circuit-breaker.ts';
import type { ResilienceEvent } from '../subgraphs/call.ts';
import { createLabelBound } from './metrics-series.ts';

export interface ResilienceMetrics {
  /** A field with a policy failed. All labels come from the configuration, but for the code, of which there are few. */
  observeFieldFailure(field: string, code: string, substitute: string): void;
  observeFieldBreaker(field: string, state: BreakerState): void;
  observeRouteBreaker(route: string, state: BreakerState): void;
  observeServiceBreaker(service: string, state: BreakerState): void;
  /** A route failed and something else answered: a `value`, or another `service`. */
  observeRouteFallback(route: string, code: string, substitute: 'value' | 'service'): void;
  /** What the call did for a service, or did not do to it. */
  observeEvent(service: string, event: ResilienceEvent): void;
  /** A request was refused because the process cannot keep up. */
  observeShed(door: string, priority: string): void;
}

const breakerStates = { closed: 0, 'half-open': 1, open: 2 } as const;

/** Routes and services come and go by registration; a gateway that lives long meets many names. */
const maxNames = 1_000;

export function createResilienceMetrics(registry: Registry): ResilienceMetrics {
  const registers = [registry];
  const failures = new Counter({
    name: 'selvage_field_failures_total',
    help: 'Fields with a timeout, breaker or fallback that failed, by code and by what stood in: fallback, stale, none.',
    labelNames: ['field', 'code', 'substitute'],
    registers,
  });
  const breakers = new Gauge({
    name: 'selvage_field_breaker_state',
    help: 'Circuit breaker of a field: 0 closed, 1 half-open, 2 open. Of several workers, that of the worst.',
    labelNames: ['field'],
    aggregator: 'max',
    registers,
  });
  const routeBreakers = new Gauge({
    name: 'selvage_route_breaker_state',
    help: 'Circuit breaker of a route: 0 closed, 1 half-open, 2 open. Of several workers, that of the worst.',
    labelNames: ['route'],
    aggregator: 'max',
    registers,
  });
  const serviceBreakers = new Gauge({
    name: 'selvage_service_breaker_state',
    help: 'Circuit breaker of a service as a whole: 0 closed, 1 half-open, 2 open. Of several workers, that of the worst.',
    labelNames: ['service'],
    aggregator: 'max',
    registers,
  });
  const routeFallbacks = new Counter({
    name: 'selvage_route_fallbacks_total',
    help: 'Requests for which something stood in for the service of their route, by code and by what: value, service.',
    labelNames: ['route', 'code', 'substitute'],
    registers,
  });
  const events = new Counter({
    name: 'selvage_resilience_events_total',
    help: 'What was done for a service or withheld from it: retry, retry-budget-exhausted, hedge, hedge-won, bulkhead-refusal-anonymous, bulkhead-refusal-authenticated.',
    labelNames: ['service', 'event'],
    registers,
  });
  const boundRoute = createLabelBound(maxNames);
  const boundService = createLabelBound(maxNames);
  const shed = new Counter({
    name: 'selvage_shed_requests_total',
    help: 'Requests refused because the process could not keep up, by door and priority.',
    labelNames: ['door', 'priority'],
    registers,
  });
  return {
    observeFieldFailure(field, code, substitute) {
      failures.inc({ field, code, substitute });
    },
    observeFieldBreaker(field, state) {
      breakers.set({ field }, breakerStates[state]);
    },
    observeRouteBreaker(route, state) {
      routeBreakers.set({ route: boundRoute(route) }, breakerStates[state]);
    },
    observeServiceBreaker(service, state) {
      serviceBreakers.set({ service: boundService(service) }, breakerStates[state]);
    },
    observeRouteFallback(route, code, substitute) {
      routeFallbacks.inc({ route: boundRoute(route), code, substitute });
    },
    observeEvent(service, event) {
      events.inc({ service: boundService(service), event });
    },
    observeShed(door, priority) {
      shed.inc({ door, priority });
    },
  };
}
