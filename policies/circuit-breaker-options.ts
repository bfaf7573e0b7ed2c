/** Options of circuit breakers, wherever they stand, and the numbers that a breaker works with. */
import Type from 'typebox';
import { Duration, Percentage, parseDurationMs, parsePercentage } from './units.ts';

const numbers = {
  failures: Type.Optional(
    Type.Unsafe<string>({ ...Percentage, default: '50%', description: 'Share of failed calls that opens it.' }),
  ),
  minimumCalls: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      default: 10,
      description: 'Calls that must have been seen before it may open.',
    }),
  ),
  openFor: Type.Optional(
    Type.Unsafe<string>({
      ...Duration,
      default: '5s',
      description: 'How long it stays open before one call probes.',
    }),
  ),
};

/** A breaker of something that answers with a status and no more. */
export const StatusBreakerOptions = Type.Object(numbers, { additionalProperties: false });

const properties = {
  ...numbers,
  errorCodes: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 100 }), {
      default: [],
      maxItems: 100,
      description:
        "Codes (`extensions.code`) of a service's own GraphQL errors that count as failures, beside timeouts, failures of transport and statuses from 500 on.",
      examples: [['INTERNAL_SERVER_ERROR']],
    }),
  ),
};

export const CircuitBreakerOptions = Type.Object(properties, { additionalProperties: false });
export type CircuitBreakerOptions = Type.Static<typeof CircuitBreakerOptions>;

export const ServiceBreakerOptions = Type.Object(properties, {
  additionalProperties: false,
  description:
    'A breaker for the service as a whole, beside those of its instances: it counts calls, whichever instances they went to and however often they were tried. While it is open all calls to the service fail at once. Off unless it is set; `{}` turns it on.',
});

/** What a breaker works with. */
export interface BreakerSettings {
  readonly breakerFailureShare: number;
  readonly breakerMinimumCalls: number;
  readonly breakerOpenForMs: number;
  /** Codes of GraphQL errors that count as failures. */
  readonly breakerErrorCodes: ReadonlySet<string>;
}

/** Options, the most specific first, as numbers. What nobody sets gets the default. */
export function buildBreakerSettings(...options: readonly (CircuitBreakerOptions | undefined)[]): BreakerSettings {
  const all: CircuitBreakerOptions = Object.assign({}, ...options.toReversed());
  return {
    breakerFailureShare: parsePercentage(all.failures ?? '50%'),
    breakerMinimumCalls: all.minimumCalls ?? 10,
    breakerOpenForMs: parseDurationMs(all.openFor ?? '5s'),
    breakerErrorCodes: new Set(all.errorCodes),
  };
}
