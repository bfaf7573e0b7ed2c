/** What a team says about the GraphQL endpoint of its service. */
import Type from 'typebox';

/** Longest SDL that a service may have, in characters. GitHub's public schema has about 1.4 million. */
export const maxSdlLength = 4_000_000;

/** How the gateway looks up an object of a plain service by its key, as in `@graphql-tools/stitch` merge configuration. */
export const MergeEntry = Type.Object(
  {
    keyField: Type.String({
      pattern: '^[_A-Za-z][_0-9A-Za-z]*$',
      description: 'Field of the type that identifies it, e.g. `upc`.',
    }),
    fieldName: Type.String({
      pattern: '^[_A-Za-z][_0-9A-Za-z]*$',
      description: 'Root field that looks objects up, e.g. `stockByUpc`.',
    }),
    keyArg: Type.Optional(
      Type.String({
        pattern: '^[_A-Za-z][_0-9A-Za-z]*$',
        description:
          'Argument of the root field that takes the key, or the list of keys (then look-ups are batched). Default: its only argument.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type MergeEntry = Type.Static<typeof MergeEntry>;

export const GraphqlEndpoint = Type.Object(
  {
    path: Type.Optional(
      Type.String({
        pattern: '^/[!-~]*$',
        maxLength: 2_048,
        default: '/graphql',
        description: 'Path of the GraphQL endpoint.',
      }),
    ),
    kind: Type.Optional(
      Type.Union([Type.Literal('federation'), Type.Literal('plain')], {
        description: 'What the service speaks. Default: found out (`_service { sdl }`, else introspection).',
      }),
    ),
    schema: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: maxSdlLength,
        description:
          'The SDL. Default: asked of an instance. May carry stitching directives (`@key`, `@merge`, `@computed`).',
      }),
    ),
    merge: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[_A-Za-z][_0-9A-Za-z]*$' }),
        Type.Union([MergeEntry, Type.Array(MergeEntry, { minItems: 1 })]),
        {
          additionalProperties: false,
          description: 'For plain services: types that other services have too, and how to look them up here.',
        },
      ),
    ),
    forwardHeaders: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Za-z0-9-]+$' }), {
        default: [],
        description:
          'Headers of the client that GraphQL requests to this service carry, beside those of the gateway. E.g. `authorization`, if the service checks the token itself.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type GraphqlEndpoint = Type.Static<typeof GraphqlEndpoint>;
