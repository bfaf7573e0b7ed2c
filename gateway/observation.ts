/** What logs and metrics are told of requests and calls. */
import type { ServerResponse } from 'node:http';
import type { AuthenticatorDependencies } from '../policies/authenticate.ts';
import type { QueryLimitObserver } from '../policies/query-limit-documents.ts';
import type { CallObserver } from '../subgraphs/call.ts';
import type { DiscoveryObserver } from '../subgraphs/discovery/watched-service.ts';
import type { Service, Snapshot } from '../subgraphs/snapshot.ts';
import type { GatewayRequest } from './context.ts';
import { noteGrpcFailure, readGrpcStatus } from './grpc-facts.ts';
import type { AccessEntry, Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { RequestObserver } from './server.ts';
import type { UpgradeObserver } from './upgrades.ts';

/** One access line and one observation per request, when it is over. */
export function createRequestObserver(log: Log, metrics: Metrics): RequestObserver {
  return {
    onBegin: ({ door }) => metrics.observeRequestStart(door),
    onEnd(context, response) {
      const durationMs = performance.now() - context.startedAtMs;
      const status = answeredStatus(context, response);
      const { door, service, name } = context;
      // One that has left HTTP was observed when it did: hours of a WebSocket are no time of an answer.
      if (context.switched === undefined) {
        metrics.observeRequest({ door, service: service ?? '', name: name ?? '', status, durationMs });
      }
      if (context.grpc !== undefined) {
        const said = readGrpcStatus(context.grpc, hasLeft(context));
        metrics.grpc.observeCall(service ?? '', name ?? '', said, context.grpc.form);
      }
      if (context.variant !== null) metrics.routing.onVariant(service ?? '', context.variant);
      log.access(buildEntry(context, status, durationMs));
    },
    onFailure(error, context) {
      noteGrpcFailure(context, error);
      if (error.code === 'INTERNAL_SERVER_ERROR') log.error('a request failed unexpectedly', { error, id: context.id });
    },
    // Anybody can make these, as many as they like.
    onHandshakeFailure(error) {
      metrics.tls.observeHandshakeFailure(error);
      log.debug('a TLS handshake failed', { error });
    },
  };
}

/** A client that left before its answer was whole got none, whatever was on its way (nginx's 499). */
function answeredStatus(context: GatewayRequest, response: ServerResponse): number {
  if (context.switched !== undefined) return 101;
  return hasLeft(context) ? 499 : response.statusCode;
}

/** An answer that the gateway had to cut closes before it is whole, too. */
function hasLeft({ departure, isCut }: GatewayRequest): boolean {
  return departure.happened && !isCut;
}

function buildEntry(context: GatewayRequest, status: number, durationMs: number): AccessEntry {
  const { attempts, switched, grpc } = context;
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
    code: hasLeft(context) && switched === undefined ? 'CLIENT_CLOSED_REQUEST' : context.errorCode,
    durationMs,
    bytes: context.bodyBytes,
    cost: context.operationCost,
    variant: context.variant,
    ...(grpc !== undefined && { grpc: readGrpcStatus(grpc, hasLeft(context)) }),
    ...(switched !== undefined && { switched }),
  };
}

/** What metrics are told of connections that leave HTTP. The access line of such a request is written at its end. */
export function createUpgradeObserver(metrics: Metrics): UpgradeObserver {
  const { upgrades } = metrics;
  return {
    onSwitch({ door, service, name, startedAtMs, switched }) {
      const durationMs = performance.now() - startedAtMs;
      metrics.observeRequest({ door, service: service ?? '', name: name ?? '', status: 101, durationMs });
      upgrades.onOpen(service ?? '', switched?.protocol ?? '');
    },
    onBytes: upgrades.onBytes,
    onEnd: upgrades.onEnd,
  };
}

/** An outage exhausts a budget with every call: one line in so much time says it. */
const exhaustionLogMs = 10_000;

/** Whether a name was asked about within the time before. Names are those of services: few. */
function createRecentTest(withinMs: number): (name: string) => boolean {
  const askedAtMs = new Map<string, number>();
  return (name) => {
    const nowMs = performance.now();
    const isRecent = nowMs - (askedAtMs.get(name) ?? Number.NEGATIVE_INFINITY) < withinMs;
    if (!isRecent) askedAtMs.set(name, nowMs);
    return isRecent;
  };
}

/** `tellsHealth`: whether health is found out here, or told by another process that says so already. */
export function createCallObserver(log: Log, metrics: Metrics, tellsHealth = true): CallObserver {
  const panicking = new Set<string>();
  const isRecent = createRecentTest(exhaustionLogMs);
  return {
    onAttempt: (attempt) => metrics.observeAttempt(attempt),
    onBreakerChange(service, instance, state) {
      metrics.observeBreaker(service, instance, state);
      log.warn('circuit breaker', { service, instance, state });
    },
    onServiceBreakerChange(service, state) {
      metrics.resilience.observeServiceBreaker(service, state);
      log.warn('circuit breaker of a service', { service, state });
    },
    onResilience(service, event) {
      metrics.resilience.observeEvent(service, event);
      if (event !== 'retry-budget-exhausted' || isRecent(service)) return;
      log.warn('the retry budget of a service is exhausted: calls that fail are not tried again', { service });
    },
    onHealthChange(service, instance, healthy, why) {
      if (!tellsHealth) return;
      metrics.observeHealth(service, instance, healthy);
      log.warn('health of an instance', { service, instance, healthy, why });
    },
    onTlsChange(service, error) {
      if (error === null) log.info('the certificates of a service were read again', { service });
      else log.error('the certificates of a service are bad', { service, error });
    },
    onSpillOver(service, why) {
      metrics.observeSpillOver(service, why !== null);
      if (why === null) log.info('calls stay in the zone again', { service });
      else log.warn('calls leave the zone', { service, why });
    },
    onEjection(service, instance, ejection, well) {
      metrics.observeHealth(service, instance, well && ejection === null);
      if (ejection === null) {
        log.warn('ejection of an instance is over', { service, instance });
      } else {
        const { reason, detail, count } = ejection;
        metrics.observeEjection(service, reason);
        log.warn('an instance is ejected: it is worse than its peers', { service, instance, reason, detail, count });
      }
    },
    onPoolChange(service, pool) {
      metrics.observePool(service, pool);
      const isPanic = pool?.panic === true;
      if (isPanic === panicking.has(service)) return;
      if (isPanic) {
        panicking.add(service);
        log.warn('panic: too few healthy instances, all get calls', { service, ...pool });
      } else {
        panicking.delete(service);
        log.warn('panic is over', { service, ...pool });
      }
    },
  };
}

/** What metrics are told of the providers of instances. The log is told by the discovery itself, once per change. */
export function createDiscoveryObserver({ discovery }: Metrics): DiscoveryObserver {
  return {
    onAnswer: (service, provider, instances) => discovery.observeAnswer(service, provider, instances),
    onFailure: (service, provider) => discovery.observeFailure(service, provider),
    onEnd: (service, provider) => discovery.forget(service, provider),
  };
}

/** What metrics are told of a new snapshot: its number, its graph, and which instances there are. */
export function createSnapshotObserver(metrics: Metrics): (snapshot: Snapshot, graphId: string) => void {
  let servingGraph: string | undefined;
  let known = new Map<string, { service: string; instance: string }>();
  return (snapshot, graphId) => {
    metrics.observeRevision(snapshot.revision);
    const isOut = ({ quarantine, rejected }: Service) => quarantine !== null || rejected !== undefined;
    metrics.observeQuarantined(snapshot.services.filter(isOut).length);
    if (graphId !== servingGraph) metrics.observeGraph(graphId);
    servingGraph = graphId;
    const present = new Map<string, { service: string; instance: string }>();
    for (const { name, instances } of snapshot.services) {
      for (const { id } of instances) present.set(JSON.stringify([name, id]), { service: name, instance: id });
    }
    for (const [key, { service, instance }] of known) if (!present.has(key)) metrics.forgetInstance(service, instance);
    for (const [key, { service, instance }] of present) {
      // Until a call or a probe says otherwise: that is how the call sees it, too.
      if (!known.has(key)) metrics.observeHealth(service, instance, true);
    }
    known = present;
  };
}

/** Credentials that others judge: counted, and an outage is told once. */
export function createAuthenticationObserver(
  log: Log,
  metrics: Metrics,
): Pick<AuthenticatorDependencies, 'onLookup' | 'onUnavailable'> {
  return {
    onLookup: (kind, outcome) => metrics.observeCredential(kind, outcome),
    onUnavailable: (kind, error) =>
      log.warn('credentials cannot be checked: requests that carry one unknown here get 503', { kind, error }),
  };
}

/** What metrics and the log are told of the size of operations. A refusal stands in the access log anyway. */
export function createQueryObserver(log: Log, { queries }: Metrics): QueryLimitObserver {
  return {
    onDepth: queries.onDepth,
    onCost: queries.onCost,
    onExcess({ code, limit, found }, className, refused, { id }) {
      queries.onExcess(code, className, refused);
      if (!refused)
        log.info('an operation is over a limit that is only measured', { code, limit, found, className, id });
    },
  };
}
