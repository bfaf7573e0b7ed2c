/** The response cache of a generation: hints of the subgraphs, and over them those of the configuration. */
import type { FieldAuthorizationOptions } from '../policies/authorize-fields.ts';
import type { CacheHint, CacheHintOptions } from '../policies/cache-hints.ts';
import { parseDurationMs } from '../policies/units.ts';
import type { Graph } from '../schema/graph.ts';
import type { FieldPolicy } from './config.ts';
import { createResponseCache, type ResponseCache, type ResponseCacheOptions } from './response-cache.ts';

/** What does not depend on the graph. */
export interface KeptResponses
  extends Omit<ResponseCacheOptions, 'graphId' | 'schema' | 'hints' | 'isAuthorized' | 'authenticationRequired'> {
  /** Hints of the configuration, by type. */
  readonly types: Readonly<Record<string, CacheHintOptions>>;
}

/** Plugins. `requirements` are those of fields, with types and interfaces worked in. */
export function createKeptResponses(
  graph: Graph,
  fields: Readonly<Record<string, FieldPolicy>>,
  { requirements, required }: Pick<FieldAuthorizationOptions, 'requirements' | 'required'>,
  { types, ...responses }: KeptResponses,
): ResponseCache {
  const hints = new Map(graph.cacheHints);
  const said = [...Object.entries(types), ...Object.entries(fields).map(([name, { cache }]) => [name, cache] as const)];
  for (const [name, options] of said) if (options !== undefined) hints.set(name, buildHint(hints.get(name), options));
  return createResponseCache({
    ...responses,
    graphId: graph.id,
    schema: graph.schema,
    hints,
    authenticationRequired: required,
    isAuthorized: (coordinate) => requirements.has(coordinate),
  });
}

function buildHint(directive: CacheHint | undefined, { ttl, scope }: CacheHintOptions): CacheHint {
  return {
    ...directive,
    ...(ttl !== undefined && { maxAgeMs: parseDurationMs(ttl), inherits: false }),
    ...(scope !== undefined && { isPrivate: scope === 'private' }),
  };
}
