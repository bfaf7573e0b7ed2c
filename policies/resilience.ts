/** Options of timeouts, retries, circuit breakers, outlier detection and concurrency limits, and the numbers that the call works with. */
import Type from 'typebox';
import { BulkheadOptions } from './bulkhead.ts';
import {
  type BreakerSettings,
  buildBreakerSettings,
  CircuitBreakerOptions,
  ServiceBreakerOptions,
} from './circuit-breaker-options.ts';
import { OutlierDetectionOptions } from './outlier-detection.ts';
import { Duration, Percentage, parseDurationMs, parsePercentage } from './units.ts';

export const RetryOptions = Type.Object(
  {
    attempts: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 10,
        default: 2,
        description: 'Further tries after the first one. 0 turns retries off.',
      }),
    ),
    budget: Type.Optional(
      Type.Unsafe<string>({
        ...Percentage,
        default: '20%',
        description: 'Retries allowed as a share of the calls to the service, so that an outage is not multiplied.',
      }),
    ),
    maxRetryAfter: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '2s',
        description:
          'Longest `Retry-After` that is waited for when no other instance is left to ask. A 503 that asks for more goes to the client as it is.',
      }),
    ),
  },
  { additionalProperties: false },
);

export const HedgingOptions = Type.Object(
  {
    budget: Type.Optional(
      Type.Unsafe<string>({
        ...Percentage,
        default: '5%',
        description: 'Second requests allowed as a share of the calls to the service. `0%` turns hedging off.',
      }),
    ),
    minimumDelay: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '10ms',
        description: 'The second request is not sent sooner, however fast the service is.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'A second request to another instance, when the first has no answer after the time in which 95% of the calls to the service have one. The first answer counts, the other request is given up. Only where a request may be sent twice: GraphQL queries, and idempotent methods without a body.',
  },
);

const resilienceProperties = {
  timeout: Type.Optional(
    Type.Unsafe<string>({
      ...Duration,
      default: '5s',
      description: 'Time for one attempt, until the head of the answer is there.',
    }),
  ),
  retry: Type.Optional(RetryOptions),
  hedging: Type.Optional(HedgingOptions),
  circuitBreaker: Type.Optional(CircuitBreakerOptions),
  serviceBreaker: Type.Optional(ServiceBreakerOptions),
  outlierDetection: Type.Optional(OutlierDetectionOptions),
  bulkhead: Type.Optional(BulkheadOptions),
  concurrency: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100_000,
      default: 1_000,
      description: 'Calls at once to one instance; more are refused at once.',
    }),
  ),
};

/** Settings that a gateway sets as defaults and a service overrides by name. */
export const ResilienceOptions = Type.Object(resilienceProperties, { additionalProperties: false });
export type ResilienceOptions = Type.Static<typeof ResilienceOptions>;
export { resilienceProperties };

/** The same in numbers. */
export interface Resilience extends BreakerSettings {
  readonly timeoutMs: number;
  readonly retryAttempts: number;
  /** Retries per call, between 0 and 1. */
  readonly retryBudget: number;
  readonly retryMaxAfterMs: number;
  /** Hedged requests per call, between 0 and 1; 0 where there is no hedging. */
  readonly hedgingBudget: number;
  readonly hedgingMinimumDelayMs: number;
  /** Of the service as a whole; null where there is none. */
  readonly serviceBreaker: BreakerSettings | null;
  readonly concurrency: number;
  readonly bulkhead: BulkheadOptions;
}

/**
 * Options, the most specific first, as numbers. What nobody sets gets the default. Whoever sets `retry` sets all of it: no
 * part of what is more general shows through.
 */
export function buildResilience(...options: readonly ResilienceOptions[]): Resilience {
  const first = <Kind extends keyof ResilienceOptions>(kind: Kind): ResilienceOptions[Kind] | undefined =>
    options.find((option) => option[kind] !== undefined)?.[kind];
  const [retry, hedging, serviceBreaker] = [first('retry'), first('hedging'), first('serviceBreaker')];
  return {
    timeoutMs: parseDurationMs(first('timeout') ?? '5s'),
    retryAttempts: retry?.attempts ?? 2,
    retryBudget: parsePercentage(retry?.budget ?? '20%'),
    retryMaxAfterMs: parseDurationMs(retry?.maxRetryAfter ?? '2s'),
    hedgingBudget: parsePercentage(hedging === undefined ? '0%' : (hedging.budget ?? '5%')),
    hedgingMinimumDelayMs: parseDurationMs(hedging?.minimumDelay ?? '10ms'),
    ...buildBreakerSettings(first('circuitBreaker')),
    serviceBreaker: serviceBreaker === undefined ? null : buildBreakerSettings(serviceBreaker),
    concurrency: first('concurrency') ?? 1_000,
    bulkhead: first('bulkhead') ?? {},
  };
}
