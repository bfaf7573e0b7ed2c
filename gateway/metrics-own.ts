/** What becomes of requests to the routes that the gateway answers itself, beyond what their status says. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { PartFailureListener } from './aggregate.ts';
import type { OwnAnswerListener } from './own-door.ts';
import type { OwnPlaneOptions } from './own-plane.ts';

/** All labels come from the configuration, or from the table of errors. */
export interface OwnMetrics {
  readonly onAnswer: OwnAnswerListener;
  readonly onPartFailure: PartFailureListener;
  readonly onGraphRoutes: OwnPlaneOptions['onGraphRoutes'];
}

export function createOwnMetrics(registry: Registry): OwnMetrics {
  const registers = [registry];
  const answers = new Counter({
    name: 'selvage_own_route_answers_total',
    help: 'Requests that passed the policies of a route that the gateway answers itself, by what became of them.',
    labelNames: ['kind', 'route', 'outcome'],
    registers,
  });
  const parts = new Counter({
    name: 'selvage_aggregate_part_failures_total',
    help: 'Parts of aggregates that were missing, whether the answer went out without them or failed.',
    labelNames: ['route', 'part', 'code'],
    registers,
  });
  const fits = new Gauge({
    name: 'selvage_rest_route_fits',
    help: 'Whether the graph has what the document of a route of `rest` wants: 1 yes, 0 no (503). Of several workers, that of the worst.',
    labelNames: ['route'],
    aggregator: 'min',
    registers,
  });
  return {
    onAnswer: ({ kind, label }, outcome) => answers.inc({ kind, route: label, outcome }),
    onPartFailure: (route, part, code) => parts.inc({ route, part, code }),
    onGraphRoutes(routes) {
      // Those that are no longer configured say nothing any more.
      fits.reset();
      for (const { key, fits: isFit } of routes) fits.set({ route: key }, isFit ? 1 : 0);
    },
  };
}
