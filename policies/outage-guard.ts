/**
 * Timeout, circuit breaker and fallback of one field, or one route: what of an answer may be late or missing without
 * taking the rest along.
 */
import { type BreakerState, CircuitBreaker } from './circuit-breaker.ts';
import { buildBreakerSettings } from './circuit-breaker-options.ts';
import { type ErrorCode, GatewayError } from './errors.ts';
import type { FieldResilienceOptions } from './field-resilience.ts';
import { parseDurationMs } from './units.ts';

/** Failures of services. Refusals of our own (limits, authorization, overload) are not among them. */
const failures: ReadonlySet<ErrorCode> = new Set([
  'GATEWAY_TIMEOUT',
  'DOWNSTREAM_SERVICE_ERROR',
  'SERVICE_UNAVAILABLE',
]);
/** What no answer can be had for at the moment: a fallback may take its place. */
const outages: ReadonlySet<ErrorCode> = new Set([...failures, 'CIRCUIT_BREAKER_OPEN', 'OVERLOADED']);

/** Whether a fallback may stand in for an error of ours with this code. */
export function isOutage(code: ErrorCode): boolean {
  return outages.has(code);
}

export interface OutageGuardOptions {
  readonly now?: () => number;
  readonly onBreakerChange?: (name: string, state: BreakerState) => void;
}

/** The state of one field or route. It outlives generations of the graph, and routing tables. */
export class OutageGuard {
  readonly name: string;
  #options: FieldResilienceOptions = {};
  #breaker: CircuitBreaker | null = null;
  #errorCodes: ReadonlySet<string> = new Set();
  readonly #now: () => number;
  readonly #onBreakerChange: OutageGuardOptions['onBreakerChange'];

  constructor(name: string, options: FieldResilienceOptions, { now, onBreakerChange }: OutageGuardOptions = {}) {
    this.name = name;
    this.#now = now ?? (() => performance.now());
    this.#onBreakerChange = onBreakerChange;
    this.configure(options);
  }

  timeoutMs = Number.POSITIVE_INFINITY;
  staleIfErrorMs = 0;

  get hasFallback(): boolean {
    return 'fallback' in this.#options;
  }

  get fallback(): unknown {
    return this.#options.fallback;
  }

  configure(options: FieldResilienceOptions): void {
    this.#options = options;
    const { timeout, staleIfError, circuitBreaker } = options;
    this.timeoutMs = timeout === undefined ? Number.POSITIVE_INFINITY : parseDurationMs(timeout);
    this.staleIfErrorMs = staleIfError === undefined ? 0 : parseDurationMs(staleIfError);
    this.#errorCodes = new Set(circuitBreaker?.errorCodes);
    if (circuitBreaker === undefined) {
      this.#breaker = null;
      return;
    }
    const settings = buildBreakerSettings(circuitBreaker);
    if (this.#breaker !== null) this.#breaker.configure(settings);
    else this.#breaker = new CircuitBreaker(settings, (state) => this.#onBreakerChange?.(this.name, state));
  }

  /** Asks the breaker; throws CIRCUIT_BREAKER_OPEN. What it returns must be called with what became of it. */
  begin(): (outcome: 'succeeded' | 'failed' | 'unknown') => void {
    const breaker = this.#breaker;
    if (breaker === null) return ignore;
    const nowMs = this.#now();
    if (!breaker.isReady(nowMs)) {
      throw new GatewayError('CIRCUIT_BREAKER_OPEN', `The circuit breaker of ${this.name} is open`, {
        retryAfterSeconds: breaker.retryAfterMs(nowMs) / 1_000,
      });
    }
    const permit = breaker.begin(nowMs);
    return (outcome) => {
      if (outcome === 'succeeded') breaker.succeed(permit);
      else if (outcome === 'failed') breaker.fail(permit, this.#now());
      else breaker.release(permit);
    };
  }

  /** Whether an error with this code counts as a failure; `own`: whether the gateway made it. */
  isFailure(code: string | undefined, own: boolean): boolean {
    return code !== undefined && (own ? failures.has(code as ErrorCode) : this.#errorCodes.has(code));
  }

  /** Whether a fallback may stand in for an error with this code. */
  isOutage(code: string | undefined, own: boolean): boolean {
    return code !== undefined && (own ? isOutage(code as ErrorCode) : this.#errorCodes.has(code));
  }
}

const ignore = (): void => {};
