/**
 * A policy that is written once and bound by name: what it says, kind by kind, and for whom. The kinds are the options
 * that the gateway, services, routes, fields and types have themselves, under the same names.
 */
import Type from 'typebox';

/** Where a policy can hold, the least specific first. A field is more specific than its type; a route than its service. */
export const policyLevels = ['gateway', 'service', 'route', 'type', 'field'] as const;
export type PolicyLevel = (typeof policyLevels)[number];

export const policyNamePattern = '^[a-z0-9][a-z0-9._-]{0,62}$';

const fieldPattern = '^[_A-Za-z][_0-9A-Za-z]*\\.[_A-Za-z][_0-9A-Za-z]*$';

/** For whom a policy holds. What is not there yet is no mistake: a service may come later. */
export const PolicyBindings = Type.Object(
  {
    gateway: Type.Optional(Type.Boolean({ description: 'Every request of both doors.' })),
    services: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 63 }), {
        description: 'Services: their routes, their part of the graph, and the calls to them.',
      }),
    ),
    routes: Type.Optional(
      Type.Array(
        Type.Object(
          {
            service: Type.String({ minLength: 1, maxLength: 63 }),
            path: Type.String({ minLength: 1, maxLength: 2_048, description: '`match.path` of the route.' }),
            methods: Type.Optional(
              Type.Array(Type.String(), { minItems: 1, description: 'Only the routes that take one of these.' }),
            ),
          },
          { additionalProperties: false },
        ),
        { description: 'Single routes.' },
      ),
    ),
    types: Type.Optional(
      Type.Array(Type.String({ pattern: '^[_A-Za-z][_0-9A-Za-z]*$' }), { description: 'Types of the graph.' }),
    ),
    fields: Type.Optional(
      Type.Array(Type.String({ pattern: fieldPattern }), { description: 'Fields of the graph, by `Type.field`.' }),
    ),
  },
  { additionalProperties: false, minProperties: 1, description: 'For whom the policy holds.' },
);
export type PolicyBindings = Type.Static<typeof PolicyBindings>;

/** What stands beside the kinds. */
export interface PolicyDefinition {
  readonly bind: PolicyBindings;
  /** For people. */
  readonly description?: string;
  /** By kind; what each may hold is said by the options of the level that the policy is bound to. */
  readonly [kind: string]: unknown;
}

export interface NamedPolicy {
  readonly name: string;
  readonly definition: PolicyDefinition;
}
