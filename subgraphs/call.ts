/**
 * The call: one request from the gateway to a service, the same function for both doors. Order, outermost first:
 * breaker and bulkhead of the service -> deadline -> retry (budgeted) -> [per attempt: pick instance -> circuit breaker of that instance -> concurrency limit
 * -> timeout -> dispatch].
 */
import type { Readable } from 'node:stream';
import type { BreakerState } from '../policies/circuit-breaker.ts';
import { GatewayError } from '../policies/errors.ts';
import type { Attempt, RequestContext } from '../policies/request-context.ts';
import { CallRun } from './call-run.ts';
import type { Ejection } from './outlier-detector.ts';
import type { PoolHealth } from './pool-health.ts';
import type { RequestTrailers } from './request-trailers.ts';
import type { ServiceUpstream } from './service-upstream.ts';
import type { SpillOver } from './zone-preference.ts';

export interface CallRequest {
  readonly service: string;
  readonly method: string;
  /** Target in origin form, byte by byte as it goes on the wire. The door has checked it. */
  readonly path: string;
  /** Name, value, name, value ... : end-to-end fields only. The call adds those of the gateway. */
  readonly headers: readonly string[];
  /** A stream is read once, when an instance is about to get it, and never twice. */
  readonly body: Buffer | string | Readable | null;
  /** What follows a body that is a stream, where the connection has a place for it: in HTTP/1.1. */
  readonly trailers?: RequestTrailers;
  /**
   * Whether the request may be sent again although bytes of it may have reached a service (invariant 4): GraphQL
   * queries, and methods that RFC 9110 section 9.2.2 calls idempotent, when the body is not a stream.
   */
  readonly idempotent: boolean;
  /** Time for one attempt until the head of the answer; default: the service's. */
  readonly timeoutMs?: number;
  /**
   * Whether the deadline also covers the body of the answer, as it should where the answer is of use only as a whole.
   * Otherwise a body may flow as long as it does flow. @default false
   */
  readonly bodyByDeadline?: boolean;
  /** Whether the deadline runs on while the body of the request flows, as that of gRPC does. @default false */
  readonly uploadByDeadline?: boolean;
  /** Time without a byte in the answer. Default: the gateway's, and none where it is a stream of events. */
  readonly idleTimeoutMs?: number;
  /** Whether the service finds credentials under other names than the usual: then caches treat it so. @default false */
  readonly credentialed?: boolean;
  /** Which instances understand the request, by their version. @default all */
  readonly accepts?: AcceptsVersion;
  /** Changes the answer before anybody sees it, caches included. */
  readonly reshape?: AnswerReshaping;
  /** Instances of this zone come first, instead of those of the gateway's. */
  readonly zone?: string;
  /** What answers depend on that is not said in the request itself: caches keep them apart by it. */
  readonly variant?: string;
  /** Whose route leads here, where that is another service. */
  readonly routedBy?: string;
  /**
   * A copy that nobody waits for: one attempt, whatever becomes of it, and nothing of it is told to the breaker of the
   * service or counted in its budgets, which are those of requests that matter. @default false
   */
  readonly aside?: boolean;
  readonly receiver: Receiver;
}

export interface AnswerReshaping {
  /** What decides the change, beside the answer itself: answers that are kept are kept for this. */
  readonly key: string;
  wrap(receiver: Receiver): Receiver;
}

/** Whether instances of a version understand a request; undefined stands for those that say none. */
export type AcceptsVersion = (version: string | undefined) => boolean;

/** Where an answer goes while it arrives. Nothing is called before an attempt is final. */
export interface Receiver {
  /** The head of an answer before the final one: 102 or 103. There may be several, also of attempts that came to nothing. */
  onInterim?(status: number, rawHeaders: readonly string[]): void;
  /** The head of the final answer; name, value, ... as received, hop-by-hop fields included. No attempt follows. */
  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void;
  /** A piece of the body. `false` asks for a pause until `flow.resume()`. */
  onData(chunk: Buffer): boolean;
  /** Whether it holds nothing of the pieces so far: then their memory may be taken back. Without it they stay. */
  holdsNothing?(): boolean;
  onEnd(trailers: readonly string[]): void;
  /** Whether the answer, which has ended, holds a GraphQL error with one of the codes. Without it, no answer does. */
  hasErrorCode?(codes: ReadonlySet<string>): boolean;
}

/** The receiver's hold on the answer that is arriving. */
export interface Flow {
  resume(): void;
  /** Gives the answer up; the call rejects with the reason. */
  abort(reason: Error): void;
}

/**
 * Sends a request to one instance of a service, and to others where that is safe. Resolves when the answer has ended
 * whole. Rejects with a GatewayError: SERVICE_UNAVAILABLE, CIRCUIT_BREAKER_OPEN, OVERLOADED, GATEWAY_TIMEOUT,
 * DOWNSTREAM_SERVICE_ERROR or CLIENT_CLOSED_REQUEST. After `receiver.onHead` a rejection means a truncated answer.
 */
export type Call = (request: CallRequest, context: RequestContext) => Promise<void>;

/** Who wants to know what calls do: metrics and logs. */
export interface CallObserver {
  onAttempt(attempt: Attempt, context: RequestContext): void;
  onBreakerChange(service: string, instance: string, state: BreakerState): void;
  /** The breaker of a service as a whole. */
  onServiceBreakerChange?(service: string, state: BreakerState): void;
  onResilience?(service: string, event: ResilienceEvent): void;
  /** Calls to a service begin to leave the gateway's zone, or stay in it again (null). */
  onSpillOver?(service: string, why: SpillOver): void;
  /**
   * An instance is healthy, or not any more, by its checks and connections. Also when one that is not healthy can be
   * connected to again, or not any more.
   */
  onHealthChange(service: string, instance: string, healthy: boolean, why: string, reachable: boolean): void;
  /** An instance is ejected for being worse than its peers, or not any more; `well` is what its health says. */
  onEjection?(service: string, instance: string, ejection: Ejection | null, well: boolean): void;
  /** The files of a service's TLS were read again (null), or are bad: what was before holds on, if there was anything. */
  onTlsChange?(service: string, error: unknown): void;
  /** The instances of a service, or their health, are others. Null: the service is gone. */
  onPoolChange?(service: string, pool: PoolHealth | null): void;
}

/** What the call did for a service, or did not do to it. */
export type ResilienceEvent =
  | 'bulkhead-refusal-anonymous'
  | 'bulkhead-refusal-authenticated'
  | 'retry'
  | 'retry-budget-exhausted'
  | 'hedge'
  /** The second request had the answer first. */
  | 'hedge-won';

export interface CallOptions {
  readonly observer?: CallObserver | undefined;
  readonly random: () => number;
  /** The clock of `context.deadlineAtMs`. */
  readonly now: () => number;
  /** Time without a byte, in a body that a service sends or takes. */
  readonly bodyIdleTimeoutMs: number;
}

/** The call over the services that `find` knows. */
export function createCall(find: (service: string) => ServiceUpstream | undefined, options: CallOptions): Call {
  return (asked, context) => {
    const upstream = find(asked.service);
    const { reshape } = asked;
    const request = reshape === undefined ? asked : { ...asked, receiver: reshape.wrap(asked.receiver) };
    if (upstream !== undefined) return new CallRun(upstream, request, context, options).run();
    return Promise.reject(
      new GatewayError('SERVICE_UNAVAILABLE', undefined, { service: request.service, retryAfterSeconds: 1 }),
    );
  };
}
