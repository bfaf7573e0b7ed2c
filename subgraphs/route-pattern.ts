/**
 * Patterns of paths: exact (`/a/b`), with parameters (`/a/:id`, `/a/:id(\d+)`), or a prefix (`/a/*`). What can be said of
 * two of them without a request: which is more specific, whether some path fits both, whether one takes all of the other.
 */
import { compileLinearRegex, maxRegexLength } from '../policies/linear-regex.ts';
import { findRegexMistake } from '../policies/value-match.ts';

/** A segment of a pattern. `*` stands at the end only. */
export type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string; readonly regex: string | null }
  | { readonly kind: 'rest' };

export interface RoutePattern {
  readonly segments: readonly Segment[];
  readonly ignoreCase: boolean;
  /** Equal for patterns that fit the same paths, constraints of parameters aside. */
  readonly structure: string;
  /** The same with constraints. */
  readonly key: string;
}

/** Reads a pattern that {@link findPatternMistakes} finds nothing wrong with. */
export function parseRoutePattern(path: string, ignoreCase = false): RoutePattern {
  const segments = splitPattern(path).map((text, index, all) => parseSegment(text, index === all.length - 1));
  const write = (withRegex: boolean) =>
    segments.map((segment) => `/${writeSegment(segment, ignoreCase, withRegex)}`).join('');
  const mark = ignoreCase ? '~' : '';
  return { segments, ignoreCase, structure: mark + write(false), key: mark + write(true) };
}

function parseSegment(text: string, isLast: boolean): Segment {
  if (text === '*' && isLast) return { kind: 'rest' };
  const parameter = parameterForm.exec(text);
  if (parameter === null) return { kind: 'literal', text };
  return { kind: 'parameter', name: parameter[1] ?? '', regex: parameter[2] ?? null };
}

const parameterForm = /^:([A-Za-z_]\w*)(?:\((.+)\))?$/;

function writeSegment(segment: Segment, ignoreCase: boolean, withRegex: boolean): string {
  if (segment.kind === 'rest') return '*';
  if (segment.kind === 'literal') return ignoreCase ? segment.text.toLowerCase() : segment.text;
  return withRegex && segment.regex !== null ? `:(${segment.regex})` : ':';
}

function splitPattern(path: string): string[] {
  return path.split('/').slice(1);
}

/**
 * What a pattern captures (`:name`, `*`), and what is wrong with it. Captures are whole segments. A target uses them, those
 * of a regular expression by number too, and has no constraints.
 */
export function readPattern(
  pattern: string,
  isTarget = false,
): {
  readonly captures: readonly string[];
  readonly mistakes: readonly string[];
} {
  const captures: string[] = [];
  const mistakes: string[] = [];
  const segments = splitPattern(pattern);
  segments.forEach((segment, index) => {
    const parameter = parameterForm.exec(segment);
    if (segment === '*' && index === segments.length - 1) captures.push('*');
    else if (isTarget && /^:\w+$/.test(segment)) captures.push(segment);
    else if (parameter !== null && !isTarget) {
      captures.push(`:${parameter[1]}`);
      const mistake = parameter[2] === undefined ? null : findRegexMistake(parameter[2]);
      if (mistake !== null) mistakes.push(`${segment}: ${mistake}`);
    } else if (segment.startsWith(':')) {
      mistakes.push('expected a parameter such as `:id` or `:id(\\d+)` to be a whole segment');
    } else if (segment.includes('*')) mistakes.push('expected `*` only as the last segment, e.g. `/orders/*`');
    // A URL parser would resolve these, so such a route could never match, or a rewrite lead out of its prefix.
    else if (/^(\.|%2e){1,2}$/i.test(segment)) mistakes.push('expected no `.` or `..` segments');
    else if (/[?#\\]/.test(segment)) mistakes.push('expected a path alone, without `?`, `#` or `\\`');
  });
  return { captures, mistakes };
}

/** Longest path that expressions are tried on; a longer one is refused where they would decide. */
export const maxRegexInput = 4 * maxRegexLength;

/**
 * Which of two patterns comes first for a path that fits both: negative for `a`. Exact before parameters before a regular
 * expression over the path before prefixes; then from the left, the segment that allows less; then the longer one.
 */
export function comparePatterns(a: RoutePattern, b: RoutePattern, aHasRegex = false, bHasRegex = false): number {
  const kind = kindOf(a, aHasRegex) - kindOf(b, bHasRegex);
  if (kind !== 0) return kind;
  if (isPrefix(a) && isPrefix(b) && a.segments.length !== b.segments.length) {
    return b.segments.length - a.segments.length;
  }
  return compareFromLeft(a, b) || Number(a.ignoreCase) - Number(b.ignoreCase);
}

function kindOf(pattern: RoutePattern, hasRegex: boolean): number {
  if (hasRegex) return 2;
  if (isPrefix(pattern)) return 3;
  return pattern.segments.some(({ kind }) => kind === 'parameter') ? 1 : 0;
}

function isPrefix({ segments }: RoutePattern): boolean {
  return segments.at(-1)?.kind === 'rest';
}

/** The order in which a tree of segments is walked. */
export function compareFromLeft(a: RoutePattern, b: RoutePattern): number {
  for (let i = 0; i < Math.min(a.segments.length, b.segments.length); i++) {
    const difference = breadthOf(a.segments[i]) - breadthOf(b.segments[i]);
    if (difference !== 0) return difference;
  }
  return b.segments.length - a.segments.length;
}

function breadthOf(segment: Segment | undefined): number {
  if (segment === undefined || segment.kind === 'rest') return 3;
  if (segment.kind === 'literal') return 0;
  return segment.regex === null ? 2 : 1;
}

/** Whether some path may fit both. Constraints of parameters are not looked at. */
export function mayOverlap(a: RoutePattern, b: RoutePattern): boolean {
  const ignoreCase = a.ignoreCase || b.ignoreCase;
  for (let i = 0; ; i++) {
    const [one, two] = [a.segments[i], b.segments[i]];
    if (one === undefined || two === undefined) return one === two;
    if (one.kind === 'rest' || two.kind === 'rest') return true;
    if (one.kind === 'literal' && two.kind === 'literal' && !isSameText(one.text, two.text, ignoreCase)) return false;
  }
}

/** Whether every path that fits `b` fits `a`. False where that is not sure. */
export function coversPattern(a: RoutePattern, b: RoutePattern): boolean {
  if (b.ignoreCase && !a.ignoreCase) return a.segments[0]?.kind === 'rest';
  for (let i = 0; ; i++) {
    const [one, two] = [a.segments[i], b.segments[i]];
    if (one === undefined) return two === undefined;
    if (one.kind === 'rest') return two !== undefined;
    if (two === undefined || two.kind === 'rest') return false;
    if (one.kind === 'literal') {
      if (two.kind !== 'literal' || !isSameText(one.text, two.text, a.ignoreCase)) return false;
    } else if (one.regex !== null) {
      const isSame = two.kind === 'parameter' && two.regex === one.regex;
      if (!isSame && !isFitting(two, one.regex, b.ignoreCase)) return false;
    }
  }
}

/** Whether a text is one that the constraint of a parameter takes. */
function isFitting(segment: Segment, regex: string, ignoreCase: boolean): boolean {
  return segment.kind === 'literal' && !ignoreCase && compileLinearRegex(regex).regex.test(segment.text);
}

function isSameText(a: string, b: string, ignoreCase: boolean): boolean {
  return a === b || (ignoreCase && a.toLowerCase() === b.toLowerCase());
}
