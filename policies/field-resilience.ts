/** Options of fields and routes that may be late or missing without taking the rest along. */
import Type from 'typebox';
import { CircuitBreakerOptions } from './circuit-breaker-options.ts';
import { Duration } from './units.ts';

export const fieldResilienceProperties = {
  timeout: Type.Optional(
    Type.Unsafe<string>({
      ...Duration,
      description:
        'For queries: time for the field with all below it. Then it is null, or its fallback, with GATEWAY_TIMEOUT; the rest of the answer does not wait for it. Fields of other types than Query are asked for by a request of their own where their service gives them by a key (`_entities`).',
    }),
  ),
  circuitBreaker: Type.Optional(
    Type.Object(
      {
        ...CircuitBreakerOptions.properties,
      },
      {
        additionalProperties: false,
        description: 'A breaker for this field alone. While it is open the field fails at once.',
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
      description: 'The value of the field when it fails, e.g. `[]`. Objects may leave out nullable fields.',
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
