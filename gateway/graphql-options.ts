/** `graphql` of the configuration: the GraphQL door. */
import Type from 'typebox';
import { OperationCacheOptions } from '../policies/operation-cache-options.ts';
import { PersistedOperationOptions } from '../policies/persisted-operation-options.ts';
import { QueryLimitOptions } from '../policies/query-limits.ts';
import { graphqlEdgeProperties } from './graphql-edge-schema.ts';
import { GraphqlPluginList } from './plugin-options.ts';

const closed = { additionalProperties: false } as const;

export const GraphqlOptions = Type.Object(
  {
    path: Type.Optional(
      Type.String({ pattern: '^/[!-~]*$', default: '/graphql', description: 'Path of the GraphQL endpoint.' }),
    ),
    ...graphqlEdgeProperties,
    introspection: Type.Optional(
      Type.Unsafe<boolean | 'authorized'>({
        anyOf: [{ type: 'boolean' }, { const: 'authorized' }],
        default: true,
        description: 'Whether clients may ask for the schema. `authorized`: they see of it what they may ask for.',
      }),
    ),
    graphiql: Type.Optional(
      Type.Boolean({ description: 'Whether browsers get GraphiQL. Default: unless NODE_ENV is `production`.' }),
    ),
    limits: Type.Optional(QueryLimitOptions),
    persistedOperations: Type.Optional(PersistedOperationOptions),
    plugins: Type.Optional(GraphqlPluginList),
    suggestions: Type.Optional(
      Type.Boolean({
        description:
          'Whether errors say which name of the schema was perhaps meant. Default: unless NODE_ENV is `production`.',
      }),
    ),
    maxBatchSize: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100,
        default: 0,
        description: 'Operations in one request (an array). 0 turns batching off.',
      }),
    ),
    subgraphErrors: Type.Optional(
      Type.Union([Type.Literal('pass'), Type.Literal('mask')], {
        default: 'pass',
        description: "Whether the text of a service's own GraphQL errors reaches the client. Stack traces never do.",
      }),
    ),
    cost: Type.Optional(
      Type.Object(
        {
          listSize: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: 1_000_000,
              default: 10,
              description: 'Length of a list of which nothing says more.',
            }),
          ),
          slicingArguments: Type.Optional(
            Type.Array(Type.String({ pattern: '^[_A-Za-z][_0-9A-Za-z]*$' }), {
              default: ['first', 'last', 'limit'],
              description: 'Arguments that say how long a list will be; the largest counts.',
            }),
          ),
        },
        { ...closed, description: 'What operations cost, for `limits.cost` and for rate limits with `count: cost`.' },
      ),
    ),
    engine: Type.Optional(
      Type.Union([Type.Literal('auto'), Type.Literal('stitched')], {
        default: 'auto',
        description:
          'What executes operations. `auto`: a compiled query plan where one service or the federated services answer all of an operation, else the stitched schema. `stitched`: always that.',
      }),
    ),
    shareSubgraphRequests: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Whether queries to a service that are equal, its credentials and the viewer included, share one request while it is under way.',
      }),
    ),
    cache: Type.Optional(OperationCacheOptions),
    shareOperations: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether equal planned queries of one viewer, with equal variables and forwarded headers, are executed once while they are under way together.',
      }),
    ),
  },
  { ...closed, description: 'The GraphQL door.' },
);
export type GraphqlOptions = Type.Static<typeof GraphqlOptions>;
