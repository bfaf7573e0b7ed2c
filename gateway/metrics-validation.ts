/** Messages that were not what their route asks for. */
import { Counter, type Registry } from 'prom-client';
import type { Log } from './log.ts';
import type { InvalidListener } from './request-validity.ts';

/** Creates the counter, and the listener that counts and logs. */
export function createValidationMetrics(registry: Registry): (log: Pick<Log, 'info' | 'warn'>) => InvalidListener {
  const invalid = new Counter({
    name: 'selvage_invalid_messages_total',
    help: 'Requests and answers that were not valid by `validate` of their route: refused (enforce) or let pass (log), by error code.',
    labelNames: ['route', 'of', 'mode', 'code'],
    registers: [registry],
  });
  return (log) =>
    ({ route, of, mode, code, mistakes }) => {
      invalid.inc({ route, of, mode, code });
      // Of a missing document its source tells, once.
      if (code === 'SERVICE_UNAVAILABLE') return;
      const facts = { route, code, mistakes: mistakes.slice(0, 5) };
      if (of === 'answer') log.warn('an answer is not valid', facts);
      else if (mode === 'log') log.warn('a request is not valid', facts);
      else log.info('a request was refused', facts);
    };
}
