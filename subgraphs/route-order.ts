/** The order of routes, and whether one leaves nothing to another. docs/routing.md states the rule in a table. */
import { compileLinearRegex } from '../policies/linear-regex.ts';
import { listPredicates, methodsOf, type Predicate, type RouteMatch } from './route-match.ts';
import { comparePatterns, coversPattern, parseRoutePattern, type RoutePattern } from './route-pattern.ts';

/** A route's match, read once for many comparisons. */
export interface RankedMatch {
  readonly match: RouteMatch;
  readonly pattern: RoutePattern;
  readonly predicates: readonly Predicate[];
  readonly methods: ReadonlySet<string>;
  readonly service: string;
  /** Position among the routes of the service. */
  readonly index: number;
}

export function rankMatch(match: RouteMatch, service: string, index: number): RankedMatch {
  const pattern = parseRoutePattern(match.path, match.ignoreCase);
  return { match, pattern, predicates: listPredicates(match), methods: methodsOf(match), service, index };
}

/** Negative when `a` is asked first. Never 0 for two routes, so the order of registrations cannot matter. */
export function compareRoutes(a: RankedMatch, b: RankedMatch): number {
  return (
    (b.match.precedence ?? 0) - (a.match.precedence ?? 0) ||
    compareBySpecificity(a, b) ||
    (a.service < b.service ? -1 : a.service > b.service ? 1 : a.index - b.index)
  );
}

function compareBySpecificity(a: RankedMatch, b: RankedMatch): number {
  return (
    comparePatterns(a.pattern, b.pattern, a.match.regex !== undefined, b.match.regex !== undefined) ||
    b.predicates.length - a.predicates.length ||
    hostRank(b.match.host) - hostRank(a.match.host)
  );
}

/** Exact hosts before those with a wildcard, and of these the longer first. */
function hostRank(host: string | undefined): number {
  if (host === undefined) return 0;
  return host.startsWith('*') ? host.length : 1_000 + host.length;
}

/** Whether every request that fits `b` fits `a` too. False where that is not sure. */
export function coversRoute(a: RankedMatch, b: RankedMatch): boolean {
  return (
    coversPattern(a.pattern, b.pattern) &&
    [...b.methods].every((method) => a.methods.has(method)) &&
    a.predicates.every((one) => b.predicates.some((two) => impliesPredicate(two, one)))
  );
}

/** Whether what fits `one` fits `other`. */
function impliesPredicate(one: Predicate, other: Predicate): boolean {
  if (one.key === other.key) return true;
  if (one.kind !== other.kind) return false;
  if (one.kind === 'host') {
    const [narrow, wide] = [String(one.value), String(other.value)];
    const name = narrow.replace(/:\d+$/, '');
    return narrow === wide || name === wide || (wide.startsWith('*.') && name.endsWith(wide.slice(1)));
  }
  return one.name === other.name && isPresence(other) && isValue(one);
}

function isPresence({ value }: Predicate): boolean {
  return typeof value === 'object' && 'present' in value && value.present === true;
}

function isValue({ value }: Predicate): boolean {
  return typeof value === 'string' || !('present' in value) || value.present === true;
}

/** Why a route takes no request at all; null where nothing speaks against it. */
export function findContradiction({ match, pattern }: RankedMatch): string | null {
  if (match.regex === undefined) return null;
  const literals = [];
  for (const segment of pattern.segments) {
    if (segment.kind !== 'literal') break;
    literals.push(`/${segment.text}`);
  }
  const isExact = literals.length === pattern.segments.length;
  const start = `${literals.join('')}${isExact ? '' : '/'}`;
  const { regex, literalPrefix } = compileLinearRegex(match.regex);
  const fits = isExact
    ? regex.test(start)
    : literalPrefix.startsWith(start.slice(0, literalPrefix.length)) &&
      start.startsWith(literalPrefix.slice(0, start.length));
  return fits || pattern.ignoreCase ? null : 'its regular expression fits no path that fits its `path`';
}

/** Whether a route of another service takes all requests of `b` by `precedence` alone. */
export function capturesByPrecedence(a: RankedMatch, b: RankedMatch): boolean {
  return (
    a.service !== b.service &&
    (a.match.precedence ?? 0) > (b.match.precedence ?? 0) &&
    coversRoute(a, b) &&
    compareBySpecificity(a, b) >= 0
  );
}
