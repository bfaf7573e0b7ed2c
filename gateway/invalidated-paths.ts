/** Paths as clients ask for them, on their way to what is kept: that is found by the paths at the services. */
import { buildPathTag, buildPrefixTag, foreignAnswers } from '../subgraphs/cache-tags.ts';
import type { Route } from '../subgraphs/service-definition.ts';
import type { Destination } from './retired-route.ts';
import type { RouteTarget } from './route-table.ts';

/** What the caller does not say: the rest of a path, or the value of a parameter. No path has it. */
const unknown = '\0';

export interface KeptPaths {
  readonly tags: readonly string[];
  /** Whose routes lead there: who may drop it. */
  readonly services: readonly string[];
}

type Routed = Pick<RouteTarget, 'service' | 'rewrite' | 'alsoAt'> & {
  readonly retired?: { readonly replacement: Pick<Destination, 'service' | 'rewrite'> | null } | null;
  readonly route: Pick<Route, 'match' | 'rewrite'>;
};

/**
 * What is kept of a path, or of all that begin with it where it ends with `/*`. Where a rewrite does not say exactly
 * which these are at the service, there are more of them rather than fewer.
 */
export function findKeptPaths(wanted: string, targets: readonly Routed[]): KeptPaths {
  const tags = new Set<string>();
  const services = new Set<string>();
  for (const { service, route, rewrite, alsoAt, retired } of targets) {
    const { path, ignoreCase } = route.match;
    const example = ignoreCase ? buildExample(wanted.toLowerCase(), path.toLowerCase()) : buildExample(wanted, path);
    if (example === null) continue;
    services.add(service);
    const kept = isOpenEnded(route) ? `/${unknown}` : rewrite(example);
    tags.add(tagOf(service, kept));
    // Others have agreed to requests of this route, and not to the loss of what they keep for their own.
    for (const other of alsoAt) tags.add(tagOf(foreignAnswers(other, service), kept));
    const replacement = retired?.replacement;
    if (replacement == null) continue;
    const moved = isOpenEnded(route) ? `/${unknown}` : replacement.rewrite(example);
    tags.add(tagOf(replacement.service === service ? service : foreignAnswers(replacement.service, service), moved));
  }
  return { tags: [...tags], services: [...services] };
}

/** Whether an example does not tell the path at the service: it has any case, or parts that an expression captures. */
function isOpenEnded({ match, rewrite }: Pick<Route, 'match' | 'rewrite'>): boolean {
  return match.ignoreCase === true || (match.regex !== undefined && rewrite !== undefined);
}

/** A path that is both wanted and matched, with what is left open in it; null where there is none. */
function buildExample(wanted: string, pattern: string): string | null {
  const isPrefix = wanted.endsWith('/*');
  const asked = (isPrefix ? wanted.slice(0, -2) : wanted).split('/');
  const matched = pattern.split('/');
  const segments: string[] = [];
  for (const [index, segment] of matched.entries()) {
    if (segment === '*') {
      const rest = asked.slice(index);
      // A wildcard takes nothing less than what comes after its slash.
      if (!isPrefix && asked.length <= index) return null;
      return [...segments, ...rest, ...(isPrefix ? [unknown] : [])].join('/');
    }
    const own = asked[index];
    if (own === undefined) {
      if (!isPrefix) return null;
      segments.push(segment.startsWith(':') ? unknown : segment);
    } else if (segment.startsWith(':') || segment === own) segments.push(own);
    else return null;
  }
  const fits = isPrefix ? asked.length < matched.length : asked.length === matched.length;
  return fits ? segments.join('/') : null;
}

function tagOf(service: string, path: string): string {
  const cut = path.indexOf(unknown);
  if (cut < 0) return buildPathTag(service, path);
  return buildPrefixTag(service, path.slice(0, path.lastIndexOf('/', cut) + 1));
}
