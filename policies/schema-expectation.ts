/** Wording for mistakes in a value: what a schema expects, what a value is, which word was meant. */
import { Duration, Percentage, Size } from './units.ts';

/** The parts of JSON Schema that our schemas are made of. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly SchemaNode[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly items?: SchemaNode;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly minProperties?: number;
}

/** A longer text tells nobody anything in a message. */
const maxShownLength = 80;

const patternMeanings: ReadonlyMap<string, string> = new Map([
  [patternOf(Duration), 'a duration such as 500ms, 5s or 1m'],
  [patternOf(Size), 'a size such as 64kb or 10mb'],
  [patternOf(Percentage), 'a percentage such as 20%'],
  ['^[0-9a-f]{64}$', 'a SHA-256 in hex (64 digits, lower case; `selvage hash-token` makes one)'],
  ['^https?://', 'a URL that begins with http:// or https://'],
  ['^https?://[^?#@\\s]+$', 'a URL that begins with http:// or https://, without credentials'],
  ['^rediss?://', 'a URL that begins with redis:// or rediss://'],
  ['^https?://[^/?#@\\s]+/?$', 'an origin such as http://10.0.0.5:8080: no path, no credentials'],
  ['^/[!-~]*$', 'a path that begins with /'],
  ['^(memory|file:.+|rediss?://.+)$', '`memory`, `file:DIR` or `redis://HOST:PORT`'],
  ['^[_A-Za-z][_0-9A-Za-z]*\\.[_A-Za-z][_0-9A-Za-z]*$', 'a field such as `Query.products`'],
  ['^(viewer|ip|api-key|header:[A-Za-z0-9-]+)$', '`viewer`, `ip`, `api-key` or `header:NAME`'],
]);

/** Reads the pattern that the type of a schema does not tell about. */
function patternOf(schema: SchemaNode): string {
  return schema.pattern ?? '';
}

/** What a schema asks for, as the object of "expected". */
export function describeExpected(schema: SchemaNode): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf !== undefined) {
    return schema.anyOf.every((branch) => branch.const !== undefined)
      ? `one of ${schema.anyOf.map((branch) => JSON.stringify(branch.const)).join(', ')}`
      : schema.anyOf.map(describeExpected).join(', or ');
  }
  switch (schema.type) {
    case 'string':
      return describeText(schema);
    case 'integer':
    case 'number':
      return `${schema.type === 'integer' ? 'a whole number' : 'a number'}${describeRange(schema.minimum, schema.maximum)}`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return `a list${describeRange(schema.minItems, schema.maxItems, 'of')}`;
    case 'null':
      return 'nothing';
    default:
      return schema.minProperties === undefined
        ? 'an object'
        : `an object with at least ${schema.minProperties} of its keys`;
  }
}

/** What a pattern asks of the keys of a record, as the object of "expected". */
export function describeKey(pattern: string): string {
  return patternMeanings.get(pattern) ?? `a name that matches \`${pattern}\``;
}

function describeText(schema: SchemaNode): string {
  if (schema.pattern !== undefined)
    return patternMeanings.get(schema.pattern) ?? `text that matches \`${schema.pattern}\``;
  return schema.minLength === undefined ? 'text' : 'text that is not empty';
}

function describeRange(minimum: number | undefined, maximum: number | undefined, between = 'from'): string {
  if (minimum !== undefined && maximum !== undefined) return ` ${between} ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  return maximum === undefined ? '' : ` of at most ${maximum}`;
}

/** A value as the object of "got". Never a credential: a token put where its hash belongs is not printed. */
export function describeValue(value: unknown, schema: SchemaNode): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty object' : 'an object';
  if (typeof value !== 'string') return `the ${typeof value} ${String(value)}`;
  if (schema.pattern === '^[0-9a-f]{64}$') return `a text of ${value.length} characters`;
  const shown = value.replace(/\/\/.*@/s, '//...@');
  return JSON.stringify(shorten(shown));
}

/** A text, cut where it would drown the message that shows it. */
export function shorten(text: string): string {
  return text.length > maxShownLength ? `${text.slice(0, maxShownLength)}...` : text;
}

/** The word that was probably meant: at most a third of the letters away. */
export function findClosest(word: string, known: readonly string[]): string | undefined {
  // The distance takes time by the product of the lengths, and no word of ours is nearly as long.
  if (word.length > maxShownLength) return undefined;
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const row = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (previous[j - 1] ?? 0) + (letter === b[j - 1] ? 0 : 1);
      row.push(Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, substituted));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
