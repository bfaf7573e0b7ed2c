/** What the configuration says of single fields and types of the graph. */
import Type from 'typebox';
import { ArgumentPolicies, GraphqlAuthorizeOptions } from '../policies/authorize-options.ts';
import { CacheHintOptions } from '../policies/cache-hints.ts';
import { fieldResilienceProperties } from '../policies/field-resilience.ts';
import { RateLimitRule } from '../policies/rate-limit-rule.ts';

const closed = { additionalProperties: false } as const;

export const FieldPolicy = Type.Object(
  {
    public: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'For root fields: open to anonymous requests also where authentication is required.',
      }),
    ),
    authorize: Type.Optional(GraphqlAuthorizeOptions),
    arguments: Type.Optional(ArgumentPolicies),
    ...fieldResilienceProperties,
    rateLimit: Type.Optional(
      Type.Array(RateLimitRule, {
        description: 'Rules for operations that select the field, each as often as the field stands in the document.',
      }),
    ),
    cost: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        description: 'Cost of the field itself. Default: 1 where it returns objects, else 0.',
      }),
    ),
    listSize: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        description: 'Length of the list where no argument says one. Default: `graphql.cost.listSize`.',
      }),
    ),
    slicingArguments: Type.Optional(
      Type.Array(Type.String({ pattern: '^[_A-Za-z][_0-9A-Za-z]*$' }), {
        description: 'Arguments that say how long the list will be. Default: `graphql.cost.slicingArguments`.',
      }),
    ),
    cache: Type.Optional(CacheHintOptions),
  },
  closed,
);

const { listSize: _, slicingArguments: __, arguments: ___, ...typeProperties } = FieldPolicy.properties;
/** What can be said of a type: most of it holds for its fields, see `docs/policies.md`. */
export const TypePolicy = Type.Object(typeProperties, closed);
