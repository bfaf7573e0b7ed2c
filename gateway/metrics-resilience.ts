/** What resilience does for clients: fields that something stands in for, requests that are shed. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface ResilienceMetrics {
  /** A field with a policy failed. All labels come from the configuration, but for the code, of which there are few. */
  observeFieldFailure(field: string, code: string, substitute: string): void;
  observeFieldBreaker(field: string, state: 'closed' | 'half-open' | 'open'): void;
  /** A request was refused because the process cannot keep up. */
  observeShed(door: string, priority: string): void;
}

const breakerStates = { closed: 0, 'half-open': 1, open: 2 } as const;

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
    observeShed(door, priority) {
      shed.inc({ door, priority });
    },
  };
}
