/** What became of calls of gRPC. */
import type { Registry } from 'prom-client';
import { nameGrpcStatus } from '../policies/grpc-status.ts';
import type { GrpcCallForm } from './grpc-facts.ts';
import { createLabelBound } from './metrics-series.ts';
import { createTalliedCounter } from './metrics-tally.ts';

export interface GrpcMetrics {
  /** `route`: its label, empty where none matched. */
  observeCall(service: string, route: string, status: number, form: GrpcCallForm): void;
}

export function createGrpcMetrics(registry: Registry, maxLabelValues: number): GrpcMetrics {
  const bound = () => createLabelBound(maxLabelValues);
  const series = createTalliedCounter({
    name: 'selvage_grpc_calls_total',
    help: 'Calls of gRPC that were answered, by route, status and how they came in: grpc, grpc-web, transcoded.',
    labelNames: ['service', 'route', 'status', 'form'],
    registry,
    bounds: [bound(), bound(), bound(), bound()],
  });
  return {
    observeCall: (service, route, status, form) => series(service, route, nameGrpcStatus(status), form).inc(),
  };
}
