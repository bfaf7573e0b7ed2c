/** `graphql.cache`: which answers of queries are kept, and what is said of them. */
import Type from 'typebox';
import { CacheHintOptions } from './cache-hints.ts';
import { Duration, parseDurationMs, parseSizeBytes, Size } from './units.ts';

const closed = { additionalProperties: false } as const;
const Name = Type.String({ pattern: '^[_A-Za-z][_0-9A-Za-z]*$' });

export const OperationCacheOptions = Type.Object(
  {
    types: Type.Optional(
      Type.Record(Name, CacheHintOptions, {
        ...closed,
        description: 'Hints for types; those for fields stand at `fields.NAME.cache`.',
      }),
    ),
    idFields: Type.Optional(
      Type.Array(Name, {
        minItems: 1,
        default: ['id'],
        description:
          'Fields that tell objects of one type apart: by them a mutation drops the answers that hold what it returns.',
      }),
    ),
    maxBodySize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '1mb', description: 'Largest answer that is kept.' }),
    ),
    staleWhileRevalidate: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description: 'How long a stale answer is given while a new one is made. Default: not at all.',
      }),
    ),
    staleIfError: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description: 'How long a stale answer is given in place of an outage of a service. Default: not at all.',
      }),
    ),
    subgraphHeaders: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Whether `Cache-Control` and `Age` of the services shorten what the hints allow, and `Cache-Tag` and `Surrogate-Key` name what can be dropped. A service that sends none is not asked for any.',
      }),
    ),
    clientHeaders: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'Whether clients get `Cache-Control`, `Age` and, for a GET, an `ETag`. All that may not be kept says `no-store`.',
      }),
    ),
  },
  {
    ...closed,
    description:
      'Keeps answers of queries for as long as all their fields allow: `@cacheControl` of the services, `types` here, and `fields.NAME.cache`. Default: nothing is kept.',
  },
);
export type OperationCacheOptions = Type.Static<typeof OperationCacheOptions>;

/** The options in numbers. */
export interface OperationCacheSettings {
  readonly types: Readonly<Record<string, CacheHintOptions>>;
  readonly idFields: readonly string[];
  readonly maxBodyBytes: number;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  readonly subgraphHeaders: boolean;
  readonly clientHeaders: boolean;
}

/** Null where answers are not kept. */
export function buildOperationCache(options: OperationCacheOptions | undefined): OperationCacheSettings | null {
  if (options === undefined) return null;
  const duration = (text: string | undefined) => (text === undefined ? 0 : parseDurationMs(text));
  return {
    types: options.types ?? {},
    idFields: options.idFields ?? ['id'],
    maxBodyBytes: Math.floor(parseSizeBytes(options.maxBodySize ?? '1mb')),
    staleWhileRevalidateMs: duration(options.staleWhileRevalidate),
    staleIfErrorMs: duration(options.staleIfError),
    subgraphHeaders: options.subgraphHeaders ?? true,
    clientHeaders: options.clientHeaders ?? true,
  };
}
