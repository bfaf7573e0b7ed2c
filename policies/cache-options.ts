/** Options of caches: where answers are kept, and what REST routes say. */
import Type from 'typebox';
import { Duration, OneOf, parseDurationMs, parseSizeBytes, Size } from './units.ts';

const closed = { additionalProperties: false } as const;

/** `cache` of a service or a route. */
export const HttpCacheOptions = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({ default: true, description: 'At a route: `false` switches off what its service says.' }),
    ),
    ttl: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description: 'How long an answer is fresh that does not say so itself. Default: only answers that do are kept.',
      }),
    ),
    staleWhileRevalidate: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description:
          'How long a stale answer is given while a new one is fetched, where the answer does not say so itself.',
      }),
    ),
    staleIfError: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description:
          'How long a stale answer is given in place of a failure of the service, where the answer does not say so itself.',
      }),
    ),
    maxBodySize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '1mb', description: 'Largest body that is kept. Larger ones pass.' }),
    ),
    hideTags: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether `Cache-Tag` and `Surrogate-Key` of the service, by which its answers can be dropped, are kept from clients.',
      }),
    ),
  },
  { ...closed, description: 'Keeps answers to GET as RFC 9111 says. Default: nothing is kept.' },
);
export type HttpCacheOptions = Type.Static<typeof HttpCacheOptions>;

/** What holds for the requests of a route, in numbers. */
export interface HttpCacheRule {
  /** Whether answers are kept. Where not, unsafe methods drop what other routes of the service keep. */
  readonly stores: boolean;
  readonly ttlMs: number | undefined;
  readonly staleWhileRevalidateMs: number | undefined;
  readonly staleIfErrorMs: number | undefined;
  readonly maxBodyBytes: number;
  /** Whether clients do not get the tags that the service gave to its answers. */
  readonly hidesTags: boolean;
}

/** The options of a route, or else those of its service. Null where neither says anything. */
export function buildHttpCacheRule(
  route: HttpCacheOptions | undefined,
  service: HttpCacheOptions | undefined,
): HttpCacheRule | null {
  if (route === undefined && service === undefined) return null;
  const options = route ?? service ?? {};
  const duration = (text: string | undefined) => (text === undefined ? undefined : parseDurationMs(text));
  return {
    stores: options.enabled !== false,
    ttlMs: duration(options.ttl),
    staleWhileRevalidateMs: duration(options.staleWhileRevalidate),
    staleIfErrorMs: duration(options.staleIfError),
    maxBodyBytes: parseSizeBytes(options.maxBodySize ?? '1mb'),
    hidesTags: options.hideTags === true,
  };
}

/** `cache` of the configuration: where both doors keep answers. */
export const CacheStoreOptions = Type.Object(
  {
    store: Type.Optional(
      OneOf(['memory', 'redis'], {
        default: 'memory',
        description:
          'Where answers are kept: in the memory of each process, or in Redis (that of `redis`, else that of `store`), for all gateways.',
      }),
    ),
    maxSize: Type.Optional(
      Type.Unsafe<string>({
        ...Size,
        default: '64mb',
        description: 'Memory for answers in each process. In Redis its own `maxmemory` holds; every key expires.',
      }),
    ),
  },
  { ...closed, description: 'Where answers are kept that routes and fields allow to keep.' },
);
export type CacheStoreOptions = Type.Static<typeof CacheStoreOptions>;
