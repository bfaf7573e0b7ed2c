/** Which cached answers are dropped: by an administrator, and because of what this process or another one did. */
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { CacheStore } from '../policies/cache-store.ts';
import { entityTags, fieldTag, typeTag } from '../policies/cached-entities.ts';
import { GatewayError } from '../policies/errors.ts';
import { findSchemaMistakes, formatPointer } from '../policies/schema-mistakes.ts';
import { buildNamedTag, buildPathTag, buildPrefixTag, serviceTag } from '../subgraphs/cache-tags.ts';
import { findKeptPaths } from './invalidated-paths.ts';
import type { RouteTarget } from './route-table.ts';

/** Tags of answers, or all there are. */
export type CacheTags = readonly string[] | 'all';

const closed = { additionalProperties: false } as const;
const Name = Type.String({ minLength: 1, maxLength: 2_048 });
const list = <T extends Type.TSchema>(item: T) => Type.Optional(Type.Array(item, { maxItems: 10_000 }));

/** As clients ask for it. */
const PublicPath = Type.String({ pattern: '^/[^?#]*$', maxLength: 2_048 });

/** Body of `POST /cache/invalidate`: at least one of these. */
const Invalidation = Type.Object(
  {
    all: Type.Optional(Type.Literal(true)),
    services: list(Name),
    paths: list(Type.Union([PublicPath, Type.Object({ service: Name, path: Name }, closed)])),
    tags: list(Type.Union([Name, Type.Object({ service: Name, tag: Name }, closed)])),
    types: list(Name),
    entities: list(Type.Object({ type: Name, id: Type.Union([Name, Type.Number()]) }, closed)),
    fields: list(Name),
  },
  { ...closed, minProperties: 1 },
);
const invalidations = Compile(Invalidation);

export interface Invalidation {
  readonly tags: CacheTags;
  /** The services whose answers are dropped, for who may; `all` where what is named may be anybody's. */
  readonly services: readonly string[] | 'all';
}

/** What names are looked up in. */
export interface InvalidationScope {
  readonly targets: readonly RouteTarget[];
  /** Names of all services. */
  readonly services: readonly string[];
}

/** Reads the body. Throws a BAD_REQUEST with all mistakes. */
export function buildInvalidation(body: unknown, scope: InvalidationScope): Invalidation {
  const mistakes = findSchemaMistakes(invalidations, body ?? null);
  if (mistakes.length > 0) {
    const reasons = mistakes.map(({ path, message }) => ({ path: formatPointer(path), message }));
    throw new GatewayError('BAD_REQUEST', 'The body does not say what to drop', { reasons });
  }
  const {
    all,
    services = [],
    paths = [],
    tags = [],
    types = [],
    entities = [],
    fields = [],
  } = body as Type.Static<typeof Invalidation>;
  if (all === true) return { tags: 'all', services: 'all' };
  const ofAll = types.length + entities.length + fields.length > 0 || tags.some((tag) => typeof tag === 'string');
  const atServices = paths.filter((path) => typeof path !== 'string');
  const found = paths.flatMap((path) => (typeof path === 'string' ? findKeptPaths(path, scope.targets) : []));
  return {
    tags: [
      ...services.map(serviceTag),
      ...atServices.map(tagOfPath),
      ...found.flatMap((kept) => kept.tags),
      ...tags.flatMap((tag) =>
        typeof tag === 'string'
          ? scope.services.map((service) => buildNamedTag(service, tag))
          : buildNamedTag(tag.service, tag.tag),
      ),
      ...types.map(typeTag),
      ...entities.flatMap(({ type, id }) => entityTags(type, String(id))),
      ...fields.map(fieldTag),
    ],
    services: ofAll
      ? 'all'
      : [
          ...services,
          ...atServices.map(({ service }) => service),
          ...found.flatMap((kept) => kept.services),
          ...tags.flatMap((tag) => (typeof tag === 'string' ? [] : tag.service)),
        ],
  };
}

function tagOfPath({ service, path }: { readonly service: string; readonly path: string }): string {
  return path.endsWith('/*') ? buildPrefixTag(service, path.slice(0, -1)) : buildPathTag(service, path);
}

/** Drops them; how many, where that is known. Throws SERVICE_UNAVAILABLE when it is not sure. */
export async function dropCached(store: CacheStore, tags: CacheTags): Promise<number> {
  try {
    if (tags !== 'all') return await store.invalidate(tags);
    await store.clear();
    return 0;
  } catch (cause) {
    const message = 'The cache cannot be asked: what is kept may still be given out';
    throw new GatewayError('SERVICE_UNAVAILABLE', message, { retryAfterSeconds: 1, cause });
  }
}

/** How long a request waits until what it changed is dropped from a store elsewhere. */
const requestPatienceMs = 40;

/** The store as requests see it: telling what is dropped because of them, and never in their way for long. */
export function createTellingCache(
  store: CacheStore,
  onInvalidated: (count: number) => void,
  tell: ((tags: readonly string[]) => void) | undefined,
): CacheStore {
  return {
    get: (key) => store.get(key),
    set: (key, entry, options) => store.set(key, entry, options),
    delete: (key) => store.delete(key),
    async invalidate(tags) {
      tell?.(tags);
      const dropped = store.invalidate(tags);
      if (!(dropped instanceof Promise)) {
        onInvalidated(dropped);
        return dropped;
      }
      const { promise: late, resolve } = Promise.withResolvers<number>();
      const timer = setTimeout(() => resolve(0), requestPatienceMs);
      const counted = dropped.then((count) => {
        onInvalidated(count);
        return count;
      });
      return await Promise.race([counted, late]).finally(() => {
        clearTimeout(timer);
        // Nobody waits any more for what may still fail.
        counted.catch(() => {});
      });
    },
    clear: () => store.clear(),
    get sizeBytes() {
      return store.sizeBytes;
    },
    close: () => store.close(),
  };
}
