/** What a route makes of a path: captured parts put into another one. */
import { GatewayError } from '../policies/errors.ts';
import { compileLinearRegex } from '../policies/linear-regex.ts';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { listCaptures, type RouteMatch } from './route-match.ts';
import { parseRoutePattern, readPattern } from './route-pattern.ts';

const captureForm = /(:[A-Za-z0-9_]+|\*)/;
const unreserved = /^[A-Za-z0-9._~-]$/;

/**
 * A path with what need not be percent-encoded decoded (RFC 3986 section 6.2.2.2), and nothing else: all spellings of it
 * are one text, and what a character may separate or hide stays as it was.
 */
export function normalizePath(path: string): string {
  if (!path.includes('%')) return path;
  return path.replaceAll(/%[0-9A-Fa-f]{2}/g, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return unreserved.test(character) ? character : encoded.toUpperCase();
  });
}

/**
 * Compiles a rewrite. Captures are taken from the raw path by position and not from the router, which decodes them: what
 * the client percent-encoded arrives at the service as it was sent. Groups of a regular expression capture from the
 * normalized path.
 */
export function buildRewrite(match: Pick<RouteMatch, 'path' | 'regex'>, rewrite: string): (path: string) => string {
  const { segments } = parseRoutePattern(match.path);
  const positions = new Map<string, number>();
  let wildcardAt = -1;
  segments.forEach((segment, index) => {
    if (segment.kind === 'parameter') positions.set(segment.name, index + 1);
    if (segment.kind === 'rest') wildcardAt = index + 1;
  });
  const { regex = null, groups = [] } = match.regex === undefined ? {} : compileLinearRegex(match.regex);
  let usesGroups = false;
  const parts = rewrite.split(captureForm).map((part): ((path: string, found: RegExpExecArray | null) => string) => {
    if (part === '*') return (path) => path.slice(startOfSegment(path, wildcardAt));
    if (!part.startsWith(':')) return () => part;
    const name = part.slice(1);
    const position = positions.get(name);
    if (position !== undefined) return (path) => segmentAt(path, position);
    const group = groups.indexOf(name) + 1;
    if (group === 0) return () => part;
    usesGroups = true;
    return (_, found) => found?.[group] ?? '';
  });
  return (path) => {
    // Its length was looked at when the route was found.
    const found = usesGroups ? (regex?.exec(normalizePath(path)) ?? null) : null;
    let rewritten = '';
    for (const part of parts) rewritten += part(path, found);
    if (usesGroups) assertInside(rewritten);
    return rewritten;
  };
}

/** Where a segment begins, the first being number 1; the end of the path where it has not so many. */
function startOfSegment(path: string, number: number): number {
  let start = 0;
  for (let seen = 0; seen < number; seen++) {
    start = path.indexOf('/', start) + 1;
    if (start === 0) return path.length;
  }
  return start;
}

function segmentAt(path: string, number: number): string {
  const start = startOfSegment(path, number);
  const end = path.indexOf('/', start);
  return end === -1 ? path.slice(start) : path.slice(start, end);
}

/** A group may capture part of a segment, or nothing: what is made of it must not lead elsewhere (RFC 3986 section 5.2.4). */
function assertInside(path: string): void {
  if (!/\/\/|\/(?:\.|%2e){1,2}(?=[/;]|$)/i.test(path)) return;
  throw new GatewayError('BAD_REQUEST', 'The path cannot be rewritten: it would hold an empty or a dot segment');
}

/** What is wrong with `rewrite`, by paths from the route. */
export function findRewriteMistakes({ match, rewrite }: { match: RouteMatch; rewrite?: string }): Mistake[] {
  if (rewrite === undefined) return [];
  return [
    ...readPattern(rewrite, true).mistakes.map((message) => ({ path: ['rewrite'], message })),
    ...findUnknownCaptures(match, rewrite).map((message) => ({ path: ['rewrite'], message })),
  ];
}

/** Captures of whole segments that the match does not have. */
export function findUnknownCaptures(match: RouteMatch, target: string): string[] {
  const known = listCaptures(match);
  return target
    .split('/')
    .filter((segment) => segment === '*' || /^:\w+$/.test(segment))
    .filter((name) => !known.includes(name))
    .map((name) => `${name} captures nothing in ${match.path}`);
}
