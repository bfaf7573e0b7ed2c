/**
 * The circuit breaker of a service as a whole. It counts calls, where those of the instances count attempts: a call that
 * failed at one instance and succeeded at another is a good one.
 */
import { type BreakerState, CircuitBreaker } from '../policies/circuit-breaker.ts';
import type { BreakerSettings } from '../policies/circuit-breaker-options.ts';
import { GatewayError } from '../policies/errors.ts';
import type { Receiver } from './call.ts';
import type { CallFailure } from './call-failure.ts';

export class ServiceBreaker {
  readonly #service: string;
  readonly #onChange: (state: BreakerState) => void;
  #breaker: CircuitBreaker | null = null;
  #errorCodes: ReadonlySet<string> = new Set();

  constructor(service: string, settings: BreakerSettings | null, onChange: (state: BreakerState) => void) {
    this.#service = service;
    this.#onChange = onChange;
    this.configure(settings);
  }

  /** Null where there is none. */
  get state(): BreakerState | null {
    return this.#breaker?.state ?? null;
  }

  configure(settings: BreakerSettings | null): void {
    if (settings === null) {
      if (this.#breaker !== null && this.#breaker.state !== 'closed') this.#onChange('closed');
      this.#breaker = null;
      return;
    }
    this.#errorCodes = settings.breakerErrorCodes;
    if (this.#breaker !== null) this.#breaker.configure(settings);
    else this.#breaker = new CircuitBreaker(settings, this.#onChange);
  }

  /** Throws CIRCUIT_BREAKER_OPEN unless a call may begin now. */
  check(nowMs: number): void {
    if (this.#breaker === null || this.#breaker.isReady(nowMs)) return;
    throw new GatewayError('CIRCUIT_BREAKER_OPEN', undefined, {
      service: this.#service,
      // While another call probes, nobody knows how long that takes.
      retryAfterSeconds: Math.max(1_000, this.#breaker.retryAfterMs(nowMs)) / 1_000,
    });
  }

  /** Begins a call, which {@link check} must have let pass. Null where there is no breaker. */
  begin(nowMs: number, receiver: Receiver): ServiceVerdict | null {
    return this.#breaker === null ? null : new ServiceVerdict(this.#breaker, this.#errorCodes, receiver, nowMs);
  }
}

/** What becomes of one call. It is told to the breaker once; an answer that breaks off after a good head counts again. */
export class ServiceVerdict {
  readonly #breaker: CircuitBreaker;
  readonly #errorCodes: ReadonlySet<string>;
  readonly #receiver: Receiver;
  readonly #permit: number;
  #isTold = false;
  #headAtMs = 0;

  constructor(breaker: CircuitBreaker, errorCodes: ReadonlySet<string>, receiver: Receiver, nowMs: number) {
    this.#breaker = breaker;
    this.#errorCodes = errorCodes;
    this.#receiver = receiver;
    this.#permit = breaker.begin(nowMs);
  }

  /** The head that counts is there. Unless errors in the body matter it decides: bodies may stream for hours. */
  noteHead(status: number, nowMs: number): void {
    this.#headAtMs = nowMs;
    if (status >= 500) this.#tell(false, nowMs);
    else if (!readsErrors(this.#receiver, this.#errorCodes)) this.#tell(true, nowMs);
  }

  /** The answer is whole. */
  end(): void {
    if (!this.#isTold) this.#tell(this.#receiver.hasErrorCode?.(this.#errorCodes) !== true, this.#headAtMs);
  }

  /** The call failed; `failure` is that of its last attempt, null when none was made. */
  fail(failure: CallFailure | null, nowMs: number): void {
    const isServices = failure !== null && (failure.countsAgainstInstance || failure.connectFailure);
    if (this.#isTold) {
      if (isServices && this.#breaker.state === 'closed') this.#breaker.fail(this.#breaker.begin(nowMs), nowMs);
    } else if (isServices) this.#tell(false, nowMs);
    else this.#breaker.release(this.#permit);
  }

  #tell(succeeded: boolean, nowMs: number): void {
    this.#isTold = true;
    if (succeeded) this.#breaker.succeed(this.#permit);
    else this.#breaker.fail(this.#permit, nowMs);
  }
}

/** Whether only the end of an answer tells if it is a good one. */
export function readsErrors({ hasErrorCode }: Receiver, codes: ReadonlySet<string>): boolean {
  return codes.size > 0 && hasErrorCode !== undefined;
}
