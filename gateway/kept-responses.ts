/** The response cache of a generation: hints of the subgraphs, and over them those of the configuration. */
import type { Plugin } from 'graphql-yoga';
import type { CacheHint, CacheHintOptions } from '../policies/cache-hints.ts';
import type { GraphqlContext } from '../policies/request-context.ts';
import type { Requirement } from '../policies/requirement.ts';
import { parseDurationMs } from '../policies/units.ts';
import type { Graph } from '../schema/graph.ts';
import type { FieldPolicy } from './config.ts';
import { type ResponseCacheOptions, useResponseCache } from './response-cache.ts';

/** What does not depend on the graph. */
export interface KeptResponses
  extends Pick<ResponseCacheOptions, 'store' | 'idFields' | 'maxBodyBytes' | 'forwardedHeaders' | 'metrics'> {
  /** Hints of the configuration, by type. */
  readonly types: Readonly<Record<string, CacheHintOptions>>;
}

/** Yoga plugin. `requirements` are those of fields, with types and interfaces worked in. */
export function useKeptResponses(
  graph: Graph,
  fields: Readonly<Record<string, FieldPolicy>>,
  requirements: ReadonlyMap<string, Requirement>,
  { types, ...responses }: KeptResponses,
): Plugin<object, GraphqlContext> {
  const hints = new Map(graph.cacheHints);
  const said = [...Object.entries(types), ...Object.entries(fields).map(([name, { cache }]) => [name, cache] as const)];
  for (const [name, options] of said) if (options !== undefined) hints.set(name, buildHint(hints.get(name), options));
  // An argument that asks for something makes its field one that does: `Query.users(deleted)`.
  const authorized = new Set([...requirements.keys()].map((coordinate) => coordinate.replace(/\(.*$/, '')));
  return useResponseCache({
    ...responses,
    graphId: graph.id,
    schema: graph.schema,
    hints,
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
