/** The response cache of a generation: hints of the subgraphs, and over them those of the configuration. */
import type { CacheHint, CacheHintOptions } from '../policies/cache-hints.ts';
import type { FieldAuthorizationOptions } from '../policies/schema-authorization.ts';
import { parseDurationMs } from '../policies/units.ts';
import type { Graph } from '../schema/graph.ts';
import type { FieldPolicy } from './config.ts';
import { createResponseCache, type ResponseCache, type ResponseCacheOptions } from './response-cache.ts';

/** What does not depend on the graph. */
export interface KeptResponses
  extends Omit<ResponseCacheOptions, 'graphId' | 'schema' | 'hints' | 'isAuthorized' | 'answersArePrivate'> {
  /** Hints of the configuration, by type. */
  readonly types: Readonly<Record<string, CacheHintOptions>>;
}

/**
 * Plugins. `requirements` are those of fields, with types and interfaces worked in. `isChanged`: whether code of the
 * operator's own may change answers after they were kept.
 */
export function createKeptResponses(
  graph: Graph,
  fields: Readonly<Record<string, FieldPolicy>>,
  { requirements, required }: Pick<FieldAuthorizationOptions, 'requirements' | 'required'>,
  { types, ...responses }: KeptResponses,
  isChanged: boolean,
): ResponseCache {
  const hints = new Map(graph.cacheHints);
  const said = [...Object.entries(types), ...Object.entries(fields).map(([name, { cache }]) => [name, cache] as const)];
  for (const [name, options] of said) if (options !== undefined) hints.set(name, buildHint(hints.get(name), options));
  // An argument that asks for something makes its field one that does: `Query.users(deleted)`.
  const authorized = new Set([...requirements.keys()].map((coordinate) => coordinate.replace(/\(.*$/, '')));
  return createResponseCache({
    ...responses,
    graphId: graph.id,
    schema: graph.schema,
    hints,
    answersArePrivate: required || isChanged,
    isAuthorized: (coordinate) => authorized.has(coordinate),
  });
}

function buildHint(directive: CacheHint | undefined, { ttl, scope }: CacheHintOptions): CacheHint {
  return {
    ...directive,
    ...(ttl !== undefined && { maxAgeMs: parseDurationMs(ttl), inherits: false }),
    ...(scope !== undefined && { isPrivate: scope === 'private' }),
  };
}
