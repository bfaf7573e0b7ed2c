/** Where two answers to the same request differ: status, chosen headers, bodies of JSON by structure. */
import { createHmac } from 'node:crypto';
import { formatPointer } from '../policies/schema-mistakes.ts';

export interface ComparedAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

export interface AnswerDifference {
  /** `status`, `header NAME`, or a JSON pointer into the body; empty for the body as a whole. */
  readonly at: string;
  readonly primary: string;
  readonly mirror: string;
}

export interface DifferenceOptions {
  readonly headers: readonly string[];
  readonly ignore: readonly string[];
  readonly showValues: boolean;
}

/** Options, and what hashes of values are keyed with: without it, short values would be found by trying them all. */
export interface KeyedDifferenceOptions extends DifferenceOptions {
  readonly key: Buffer;
}

/** Differences that are told of one pair of answers. */
const maxDifferences = 10;
const maxDepth = 64;
const maxShownCharacters = 64;
const missing = Symbol('missing');

export function findDifferences(
  a: ComparedAnswer,
  b: ComparedAnswer,
  options: KeyedDifferenceOptions,
): AnswerDifference[] {
  const differences: AnswerDifference[] = [];
  const add = (at: string, one: unknown, two: unknown, isPlain = false): void => {
    if (differences.length >= maxDifferences) return;
    const show = (value: unknown) => describe(value, isPlain || options.showValues ? null : options.key);
    differences.push({ at, primary: show(one), mirror: show(two) });
  };
  if (a.status !== b.status) add('status', a.status, b.status, true);
  for (const name of options.headers) {
    const [one, two] = [a.headers.get(name) ?? missing, b.headers.get(name) ?? missing];
    if (one !== two) add(`header ${name}`, one, two);
  }
  if (a.body.equals(b.body)) return differences;
  const [one, two] = [parseJson(a), parseJson(b)];
  if (one === missing || two === missing) add('', a.body.toString('latin1'), b.body.toString('latin1'));
  else compare(one, two, [], { add, ignore: options.ignore.map((pointer) => pointer.slice(1).split('/')) });
  return differences;
}

interface Comparison {
  readonly add: (at: string, one: unknown, two: unknown) => void;
  readonly ignore: readonly (readonly string[])[];
}

function compare(a: unknown, b: unknown, path: readonly string[], comparison: Comparison): void {
  if (comparison.ignore.some((pointer) => isAt(pointer, path))) return;
  const isBoth = isStructure(a) && isStructure(b) && Array.isArray(a) === Array.isArray(b);
  if (!isBoth || path.length >= maxDepth) {
    if (a !== b) comparison.add(formatPointer(path), a, b);
    return;
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const read = (from: object) => (Object.hasOwn(from, key) ? (from as Record<string, unknown>)[key] : missing);
    compare(read(a), read(b), [...path, key], comparison);
  }
}

function isAt(pointer: readonly string[], path: readonly string[]): boolean {
  if (pointer.length !== path.length) return false;
  return pointer.every(
    (part, index) => part === '*' || part.replaceAll('~1', '/').replaceAll('~0', '~') === path[index],
  );
}

function isStructure(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function parseJson({ headers, body }: ComparedAnswer): unknown {
  if (!/^application\/(?:[\w.+-]+\+)?json\b/i.test(headers.get('content-type') ?? '')) return missing;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return missing;
  }
}

/** What of a value may be told, hashed with a key unless it may be shown: answers hold what is nobody's business but the client's. */
function describe(value: unknown, key: Buffer | null): string {
  if (value === missing) return 'missing';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (key === null) return text.length > maxShownCharacters ? `${text.slice(0, maxShownCharacters)}…` : text;
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  return `${type} ${createHmac('sha256', key).update(text).digest('hex').slice(0, 8)}`;
}
