/**
 * Timeout, circuit breaker and fallback of one field (or of anything else with a name): what of an answer may be late or
 * missing without taking the rest along.
 */
import Type from 'typebox';
import { CircuitBreaker } from './circuit-breaker.ts';
import { type ErrorCode, GatewayError } from './errors.ts';
import { buildResilience, CircuitBreakerOptions } from './resilience.ts';
import { Duration, parseDurationMs } from './units.ts';

export const fieldResilienceProperties = {
  timeout: Type.Optional(
    Type.Unsafe<string>({
      ...Duration,
      description:
        'For fields of Query: time for the field with all below it. Then it is null, or its fallback, with GATEWAY_TIMEOUT; the rest of the answer does not wait for it.',
    }),
  ),
  circuitBreaker: Type.Optional(
    Type.Object(
      {
        ...CircuitBreakerOptions.properties,
        errorCodes: Type.Optional(
          Type.Array(Type.String({ minLength: 1, maxLength: 100 }), {
            default: [],
            description:
              "Codes (`extensions.code`) of a service's own GraphQL errors that count as failures, beside timeouts and failures of transport.",
            examples: [['INTERNAL_SERVER_ERROR']],
          }),
        ),
      },
      {
        additionalProperties: false,
        description: 'For fields of Query: a breaker for this field alone. While it is open the field fails at once.',
      },
    ),
  ),
  staleIfError: Type.Optional(
    Type.Unsafe<string>({
      ...Duration,
      description:
        'For fields of Query: when the field fails, the last good answer to the same question of the same viewer takes its place, if it is not older. Kept in memory, 32 MB at most for all fields.',
    }),
  ),
  fallback: Type.Optional(
    Type.Unknown({
      description:
        'For fields of Query: the value of the field when it fails, e.g. `[]`. Objects may leave out nullable fields.',
    }),
  ),
};

const FieldResilienceOptions = Type.Object(fieldResilienceProperties, { additionalProperties: false });
export type FieldResilienceOptions = Type.Static<typeof FieldResilienceOptions>;

/** What stands in for a route that failed. */
export const RouteFallback = Type.Object(
  {
    status: Type.Optional(
      Type.Integer({ minimum: 200, maximum: 599, default: 200, description: 'Status of the answer that stands in.' }),
    ),
    body: Type.Optional(Type.Unknown({ description: 'Its body, sent as JSON.' })),
    service: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 63,
        description:
          'Another service that is asked instead, at the same path, where a request may be sent twice and that service names this one in `fallbackFor`. When that fails too, `body` answers, if there is one.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'What answers when no instance does: on timeouts, failures of transport, open breakers and overload of the service. An answer of the service passes as it is, whatever its status.',
  },
);
export type RouteFallback = Type.Static<typeof RouteFallback>;

/** Whether any of it is set. */
export function hasResilience(options: FieldResilienceOptions): boolean {
  return Object.keys(fieldResilienceProperties).some((name) => name in options);
}

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

export interface FieldGuardOptions {
  readonly now?: () => number;
  readonly onBreakerChange?: (name: string, state: 'closed' | 'open' | 'half-open') => void;
}

/** The state of one field. It outlives generations of the graph. */
export class FieldGuard {
  readonly name: string;
  #options: FieldResilienceOptions = {};
  #breaker: CircuitBreaker | null = null;
  #errorCodes: ReadonlySet<string> = new Set();
  readonly #now: () => number;
  readonly #onBreakerChange: FieldGuardOptions['onBreakerChange'];

  constructor(name: string, options: FieldResilienceOptions, { now, onBreakerChange }: FieldGuardOptions = {}) {
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
    const { errorCodes: _, ...numbers } = circuitBreaker;
    const resilience = buildResilience({ circuitBreaker: numbers });
    if (this.#breaker !== null) this.#breaker.configure(resilience);
    else this.#breaker = new CircuitBreaker(resilience, (state) => this.#onBreakerChange?.(this.name, state));
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
