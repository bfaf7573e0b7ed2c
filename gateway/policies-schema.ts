/** What stands under `policies` of the configuration beside resilience and rate limits. */
import Type from 'typebox';
import { AuthorizeOptions } from '../policies/authorize-options.ts';
import { HttpCacheOptions } from '../policies/cache-options.ts';
import { RouteFallback } from '../policies/field-resilience.ts';
import { PriorityOption } from '../policies/load-shedding.ts';
import { PolicyBindings, type PolicyDefinition, policyNamePattern } from '../policies/policy-definition.ts';

/** Kinds that every route, and where it says so every root field, takes from the gateway. */
export const gatewayPolicyProperties = {
  authorize: Type.Optional(AuthorizeOptions),
  priority: Type.Optional(PriorityOption),
  cache: Type.Optional(HttpCacheOptions),
  fallback: Type.Optional(RouteFallback),
};

const Definition = Type.Object(
  { bind: PolicyBindings, description: Type.Optional(Type.String({ maxLength: 1_000, description: 'For people.' })) },
  {
    additionalProperties: Type.Unknown(),
    description:
      'Beside `bind` stand options, as they stand at the targets themselves: `timeout`, `rateLimit`, `authorize` ...',
  },
);

/** `policies.named`. What the kinds may hold depends on where a policy is bound: a rule of the configuration checks it. */
export const NamedPolicies = Type.Record(
  Type.String({ pattern: policyNamePattern }),
  Type.Unsafe<PolicyDefinition>({ ...Definition }),
  { additionalProperties: false, description: 'Policies that are written once and bound to what they shall hold for.' },
);
