/**
 * The call: one request from the gateway to a service, the same function for both doors. Order, outermost first:
 * deadline -> retry (budgeted) -> [per attempt: pick instance -> circuit breaker of that instance -> concurrency limit
 * -> timeout -> dispatch].
 */
import type { Readable } from 'node:stream';
import type { Attempt, RequestContext } from '../policies/request-context.ts';

export interface CallRequest {
  readonly service: string;
  readonly method: string;
  /** Target in origin form, byte by byte as it goes on the wire. The door has checked it. */
  readonly path: string;
  /** Name, value, name, value ... : end-to-end fields only. The call adds those of the gateway. */
  readonly headers: readonly string[];
  /** A stream is read once, when an instance is about to get it, and never twice. */
  readonly body: Buffer | string | Readable | null;
  /**
   * Whether the request may be sent again although bytes of it may have reached a service (invariant 4): GraphQL
   * queries, and methods that RFC 9110 section 9.2.2 calls idempotent, when the body is not a stream.
   */
  readonly idempotent: boolean;
  /** Time for one attempt until the head of the answer; default: the service's. */
  readonly timeoutMs?: number;
  readonly receiver: Receiver;
}

/** Where an answer goes while it arrives. Nothing is called before an attempt is final. */
export interface Receiver {
  /** The head of the final answer; name, value, ... as received, hop-by-hop fields included. No attempt follows. */
  onHead(status: number, rawHeaders: readonly string[], flow: Flow): void;
  /** A piece of the body. `false` asks for a pause until `flow.resume()`. */
  onData(chunk: Buffer): boolean;
  onEnd(trailers: readonly string[]): void;
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
  onBreakerChange(service: string, instance: string, state: 'closed' | 'open' | 'half-open'): void;
  onHealthChange(service: string, instance: string, healthy: boolean, why: string): void;
}
