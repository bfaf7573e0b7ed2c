/** `graphql.persistedOperations`: operations by an id in place of their text. */
import Type from 'typebox';
import { Duration, OneOf, Size } from './units.ts';
import { ViewerClass } from './viewer-class.ts';

export const PersistedOperationOptions = Type.Object(
  {
    mode: Type.Optional(
      OneOf(['off', 'log', 'enforce'], {
        default: 'off',
        description:
          'What becomes of operations that are no trusted documents. `off`: there are no trusted documents. `log`: they pass, and are counted and logged by the name of the client. `enforce`: they are refused.',
      }),
    ),
    source: Type.Optional(
      Type.String({
        pattern: '^(file:.+|https?://.+|redis)$',
        description:
          "Where the manifest of trusted documents is: `file:PATH`, a URL, or `redis` (the key `PREFIXtrusted-documents`). Either Apollo's format (`apollo-persisted-query-manifest`) or `{ ID: DOCUMENT }`, as Relay and GraphQL Code Generator write it.",
      }),
    ),
    reload: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '30s',
        description: 'How often the manifest is looked at. One that is not right is refused; the last good one serves.',
      }),
    ),
    copy: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'File for a copy of the last good manifest: what a gateway starts with while the source cannot be read.',
      }),
    ),
    allowArbitrary: Type.Optional(
      Type.Array(ViewerClass, {
        default: [],
        maxItems: 50,
        description: 'With `enforce`: viewers who may send any operation all the same.',
      }),
    ),
    trustPersisted: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Whether trusted documents are free of all `graphql.limits` but that of cost.',
      }),
    ),
    apq: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          "Automatic persisted queries (Apollo's protocol): a client sends a hash, and the text once. Without effect under `enforce`.",
      }),
    ),
    apqTtl: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '24h',
        description: 'How long Redis keeps them after they were last sent, where `cache.store` is `redis`.',
      }),
    ),
    apqMaxSize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '16mb', description: 'Memory for their texts in each process.' }),
    ),
  },
  { additionalProperties: false, description: 'Operations by an id in place of their text.' },
);
export type PersistedOperationOptions = Type.Static<typeof PersistedOperationOptions>;
