/** What logs and metrics are told of requests and calls. */
import type { ServerResponse } from 'node:http';
import type { CallObserver } from '../subgraphs/call.ts';
import type { GatewayRequest } from './context.ts';
import type { AccessEntry, Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { RequestObserver } from './server.ts';

/** One access line and one observation per request, when it is over. */
export function createRequestObserver(log: Log, metrics: Metrics): RequestObserver {
  return {
    onBegin: () => metrics.requestBegan(),
    onEnd(context, response) {
      const durationMs = performance.now() - context.startedAtMs;
      const status = answeredStatus(context, response);
      metrics.observeRequest(context.door, context.name ?? 'unmatched', status, durationMs);
      log.access(buildEntry(context, status, durationMs));
    },
    onFailure(error, context) {
      if (error.code === 'INTERNAL_SERVER_ERROR')
        log.error({ err: error, id: context.id }, 'a request failed unexpectedly');
    },
  };
}

/** A client that left before its answer was whole got none, whatever was on its way (nginx's 499). */
function answeredStatus(context: GatewayRequest, response: ServerResponse): number {
  return context.departure.happened ? 499 : response.statusCode;
}

function buildEntry(context: GatewayRequest, status: number, durationMs: number): AccessEntry {
  const { attempts } = context;
  return {
    id: context.id,
    door: context.door,
    method: context.method,
    path: context.path,
    name: context.name,
    viewer: context.viewer?.kind ?? null,
    services: attempts.map(({ service }) => service),
    instances: attempts.map(({ instance }) => instance),
    attempts: attempts.length,
    status,
    code: context.departure.happened ? 'CLIENT_CLOSED_REQUEST' : context.errorCode,
    durationMs,
    bytes: context.bodyBytes,
  };
}

export function createCallObserver(log: Log, metrics: Metrics): CallObserver {
  return {
    onAttempt: (attempt) => metrics.observeAttempt(attempt),
    onBreakerChange(service, instance, state) {
      metrics.observeBreaker(service, instance, state);
      log.warn({ service, instance, state }, 'circuit breaker');
    },
    onHealthChange(service, instance, healthy, why) {
      metrics.observeHealth(service, instance, healthy);
      log.warn({ service, instance, healthy, why }, 'health of an instance');
    },
  };
}
