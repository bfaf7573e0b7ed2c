/**
 * Finds the route for a request. One look into a tree of paths gives the routes that could take it, in the order in which
 * they are asked; as a rule that is one, which asks nothing more. The order is that of `route-order.ts` and of nothing
 * else: the tree only leaves out what cannot fit.
 */
import createRouter from 'find-my-way';

import { routeMethods } from '../subgraphs/route-match.ts';
import { compareRoutes, type RankedMatch } from '../subgraphs/route-order.ts';
import { coversPattern, mayOverlap, type RoutePattern } from '../subgraphs/route-pattern.ts';
import { type CompiledPredicates, compilePredicates, type RouteFacts, withoutPort } from './route-predicates.ts';

export type RouteMatch<Target> =
  | { readonly kind: 'found'; readonly target: Target }
  | { readonly kind: 'wrong-method'; readonly allow: readonly string[] }
  /** The next route in order asks for claims: find out who is asking, and ask again. `possible`: what it may come to. */
  | { readonly kind: 'needs-viewer'; readonly possible: readonly Target[] }
  /** Longer than what the expression of the next route in order is tried on: whether that one takes it, nobody knows. */
  | { readonly kind: 'too-long' }
  /** `unauthenticated`: some route might take it if the client said who it is. */
  | { readonly kind: 'none'; readonly unauthenticated: boolean };

export interface RouteMatcher<Target> {
  find(method: string, path: string, host: string, facts?: RouteFacts): RouteMatch<Target>;
}

/** A route as it is registered. */
export interface MatchedRoute<Target> {
  readonly ranked: RankedMatch;
  readonly target: Target;
}

interface CompiledRoute<Target> extends MatchedRoute<Target>, CompiledPredicates {
  readonly found: RouteMatch<Target>;
}

/** A route among those of one place in the tree. */
interface Candidate<Target> {
  readonly route: CompiledRoute<Target>;
  /** Null where the tree has looked at the path already. */
  readonly path: RegExp | null;
}

interface MethodList<Target> {
  /** The only one, which asks nothing. */
  readonly certain: RouteMatch<Target> | null;
  /** By exact host, those that take it. Null where no route names one. */
  readonly byHost: ReadonlyMap<string, readonly Candidate<Target>[]> | null;
  readonly others: readonly Candidate<Target>[];
}

/** None: what is too long for a parameter would silently be a prefix's. Heads have their limit. */
const maxParamLength = Number.MAX_SAFE_INTEGER;
const nobody: RouteFacts = { headers: {}, query: '', address: '', viewer: null };
const tooLong = { kind: 'too-long' } as const;
const none = { kind: 'none', unauthenticated: false } as const;
const unauthenticated = { kind: 'none', unauthenticated: true } as const;

export function createRouteMatcher<Target>(routes: readonly MatchedRoute<Target>[]): RouteMatcher<Target> {
  const compiled = routes
    .map(
      (route): CompiledRoute<Target> => ({
        ...route,
        ...compilePredicates(route.ranked),
        found: { kind: 'found', target: route.target },
      }),
    )
    .toSorted((a, b) => compareRoutes(a.ranked, b.ranked));
  const all = createTrees(compiled);
  // The router lets a parameter be nothing, and `/items/` would be one of `/items/:id`. No segment but the last can be empty.
  const openEnded = compiled.filter(({ ranked }) => ranked.pattern.segments.at(-1)?.kind !== 'parameter');
  const folders = openEnded.length === compiled.length ? all : createTrees(openEnded);
  return {
    find(method, path, host, facts = nobody) {
      const place = path.charCodeAt(path.length - 1) === 0x2f ? folders(path) : all(path);
      return place === null ? none : place.find(method, path, host, facts);
    },
  };
}

function createTrees<Target>(compiled: readonly CompiledRoute<Target>[]): (path: string) => Place<Target> | null {
  const exact = createTree(
    compiled.filter(({ ranked }) => !ranked.pattern.ignoreCase),
    compiled,
  );
  const caseless = compiled.filter(({ ranked }) => ranked.pattern.ignoreCase);
  if (caseless.length === 0) return exact;
  const anyCase = createTree(caseless, caseless);
  return (path) => exact(path) ?? anyCase(path);
}

/** The tree of the paths of some routes. At each place stand those of `all` that could fit there. */
function createTree<Target>(
  routes: readonly CompiledRoute<Target>[],
  all: readonly CompiledRoute<Target>[],
): (path: string) => Place<Target> | null {
  const caseSensitive = routes[0]?.ranked.pattern.ignoreCase !== true;
  const router = createRouter({ caseSensitive, ignoreTrailingSlash: false, maxParamLength });
  const known = new Set<string>();
  for (const { ranked } of routes) {
    const { structure } = ranked.pattern;
    if (known.has(structure)) continue;
    known.add(structure);
    router.on('GET', writeForRouter(ranked.pattern), () => {}, new Place(ranked.pattern, all));
  }
  return (path) => (router.find('GET', path, {})?.store as Place<Target> | undefined) ?? null;
}

/** Constraints of parameters are none of the router's business; a colon inside a segment it wants doubled. */
function writeForRouter({ segments }: RoutePattern): string {
  return segments
    .map((segment, index) => {
      if (segment.kind === 'rest') return '/*';
      return segment.kind === 'parameter' ? `/:p${index}` : `/${segment.text.replaceAll(':', '::')}`;
    })
    .join('');
}

/** A place in the tree: what can be asked there, by method. Worked out when the first request comes by. */
class Place<Target> {
  readonly #pattern: RoutePattern;
  readonly #all: readonly CompiledRoute<Target>[];
  #candidates: readonly Candidate<Target>[] | undefined;
  readonly #lists = new Map<string, MethodList<Target>>();

  constructor(pattern: RoutePattern, all: readonly CompiledRoute<Target>[]) {
    this.#pattern = pattern;
    this.#all = all;
  }

  find(method: string, path: string, host: string, facts: RouteFacts): RouteMatch<Target> {
    const list = this.#lists.get(method) ?? this.#buildList(method);
    if (list.certain !== null) return list.certain;
    return this.#choose(list, path, host.toLowerCase(), facts) ?? this.#explainNone(path, host.toLowerCase(), facts);
  }

  #choose(list: MethodList<Target>, path: string, authority: string, facts: RouteFacts): RouteMatch<Target> | null {
    let asksWho = false;
    let possible: Target[] | null = null;
    let decoded: string | undefined;
    for (const { route, path: shape } of ofHost(list, authority)) {
      if (route.host?.(authority) === false) continue;
      if (shape !== null) {
        decoded ??= decodeURI(path);
        if (!shape.test(decoded)) continue;
      }
      if (route.test?.(facts) === false) continue;
      const fit = route.fits?.(path) ?? 'fits';
      if (fit === 'fails') continue;
      if (fit === 'too-long') {
        if (possible === null) return tooLong;
        break;
      }
      if (facts.viewer === undefined && (route.claims !== null || possible !== null)) {
        possible ??= [];
        possible.push(route.target);
        if (route.claims === null) break;
      } else if (route.claims === null) return route.found;
      else if (!facts.viewer) asksWho = true;
      else if (route.claims(facts.viewer)) return route.found;
    }
    if (possible !== null) return { kind: 'needs-viewer', possible };
    return asksWho ? unauthenticated : null;
  }

  /** Which methods would be taken. */
  #explainNone(path: string, authority: string, facts: RouteFacts): RouteMatch<Target> {
    const known = { ...facts, viewer: facts.viewer ?? null };
    const allow = routeMethods.filter((method) => {
      const list = this.#lists.get(method) ?? this.#buildList(method);
      return (list.certain ?? this.#choose(list, path, authority, known))?.kind === 'found';
    });
    return allow.length > 0 ? { kind: 'wrong-method', allow } : none;
  }

  #buildList(method: string): MethodList<Target> {
    this.#candidates ??= this.#all.flatMap((route) => buildCandidate(route, this.#pattern));
    const candidates = this.#candidates.filter(({ route }) => route.ranked.methods.has(method));
    const hosts = new Set(candidates.flatMap(({ route }) => exactHostOf(route)));
    const [first] = candidates;
    const list: MethodList<Target> = {
      certain: first !== undefined && isCertain(first, false) ? first.route.found : null,
      byHost:
        hosts.size === 0
          ? null
          : new Map(
              [...hosts].map((host) => [
                host,
                cut(
                  candidates.filter(({ route }) => route.host?.(host) !== false),
                  true,
                ),
              ]),
            ),
      others: cut(
        candidates.filter(({ route }) => exactHostOf(route).length === 0),
        false,
      ),
    };
    // A client may make up methods without end.
    if ((routeMethods as readonly string[]).includes(method)) this.#lists.set(method, list);
    return list;
  }
}

function ofHost<Target>({ byHost, others }: MethodList<Target>, authority: string): readonly Candidate<Target>[] {
  if (byHost === null) return others;
  return byHost.get(authority) ?? byHost.get(withoutPort(authority)) ?? others;
}

function exactHostOf({ ranked }: Pick<CompiledRoute<unknown>, 'ranked'>): readonly string[] {
  const { host } = ranked.match;
  return host === undefined || host.startsWith('*') ? [] : [host.toLowerCase()];
}

/** Behind one that takes whatever comes here, nobody is asked. */
function cut<Target>(candidates: readonly Candidate<Target>[], isHostKnown: boolean): readonly Candidate<Target>[] {
  const last = candidates.findIndex((candidate) => isCertain(candidate, isHostKnown));
  return last < 0 ? candidates : candidates.slice(0, last + 1);
}

function isCertain<Target>({ route, path }: Candidate<Target>, isHostKnown: boolean): boolean {
  return (
    path === null &&
    route.test === null &&
    route.fits === null &&
    route.claims === null &&
    (isHostKnown || route.host === null)
  );
}

/** A route as it stands at a place; none where it cannot fit. */
function buildCandidate<Target>(route: CompiledRoute<Target>, place: RoutePattern): Candidate<Target>[] {
  const { pattern } = route.ranked;
  if (pattern.structure === place.structure) return [{ route, path: null }];
  if (!mayOverlap(pattern, place)) return [];
  const bare = parseBare(pattern);
  // What the tree would have found first did not fit, or the request would be at its place.
  if (pattern.ignoreCase === place.ignoreCase && isFoundBefore(pattern, place)) return [];
  return [{ route, path: coversPattern(bare, parseBare(place)) ? null : buildShape(pattern) }];
}

/** Without constraints of parameters, which are tested by themselves. */
function parseBare(pattern: RoutePattern): RoutePattern {
  const segments = pattern.segments.map((segment) =>
    segment.kind === 'parameter' ? { ...segment, regex: null } : segment,
  );
  return { ...pattern, segments };
}

/** The tree walks from the left: literal segments first, then parameters, then the rest. */
function isFoundBefore(a: RoutePattern, b: RoutePattern): boolean {
  for (let i = 0; i < Math.min(a.segments.length, b.segments.length); i++) {
    const difference = stepOf(a.segments[i]) - stepOf(b.segments[i]);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

function stepOf(segment: RoutePattern['segments'][number] | undefined): number {
  return segment === undefined || segment.kind === 'rest' ? 2 : segment.kind === 'parameter' ? 1 : 0;
}

function buildShape({ segments, ignoreCase }: RoutePattern): RegExp {
  const parts = segments.map((segment) => {
    if (segment.kind === 'rest') return '/[^]*';
    return segment.kind === 'parameter' ? '/[^/]*' : `/${segment.text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')}`;
  });
  return new RegExp(`^${parts.join('')}$`, ignoreCase ? 'i' : '');
}
