/** Requests that were not what their route asks for. */
import { Counter, type Registry } from 'prom-client';
import type { Log } from './log.ts';
import type { InvalidListener } from './request-validity.ts';

/** Creates the counter, and the listener that counts and, for what was let pass, logs. */
export function createValidationMetrics(registry: Registry): (log: Log) => InvalidListener {
  const invalid = new Counter({
    name: 'selvage_invalid_requests_total',
    help: 'Requests that were not valid by `validate` of their route: refused (enforce) or let pass (log).',
    labelNames: ['route', 'mode'],
    registers: [registry],
  });
  return (log) => (route, mode, mistakes) => {
    invalid.inc({ route, mode });
    if (mode === 'log') log.warn('a request is not valid', { route, mistakes: mistakes.slice(0, 5) });
  };
}
