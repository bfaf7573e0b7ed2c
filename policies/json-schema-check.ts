/**
 * Whether JSON Schemas may be used: no reference leads out of the document, none into itself, no pattern takes long, and
 * keywords have values that they can have, since a schema that is read otherwise than it is meant lets everything pass.
 */
import { judgePattern, refusePattern } from './pattern-safety.ts';
import type { Mistake, ValuePath } from './schema-mistakes.ts';
import { isObject, kindOfKeyword, resolveReference } from './subschemas.ts';

const maxNodes = 20_000;
const maxPath = 200;
/** How often schemas may be tried at one place of a value. */
const maxTries = 1_000;

/** Schemas of these are tried on the same value. */
const inPlace: ReadonlySet<string> = new Set([
  'allOf',
  'anyOf',
  'oneOf',
  'not',
  'if',
  'then',
  'else',
  'dependentSchemas',
  'dependencies',
]);

interface Walk {
  readonly maxNodes: number;
  readonly mistakes: Mistake[];
  /** Every schema that was looked at: what references may lead to. */
  readonly seen: Set<unknown>;
  readonly references: { readonly reference: string; readonly path: ValuePath }[];
}

/** What is wrong with a schema; none when {@link createSchemaValidator} takes it. */
export function findJsonSchemaMistakes(schema: unknown): Mistake[] {
  return findMistakesOfSchemas([{ schema, path: [] }], schema);
}

/** The same of all schemas of a document, in which references begin at its root. */
export function findMistakesOfSchemas(
  schemas: readonly { readonly schema: unknown; readonly path: ValuePath }[],
  root: unknown,
  limit = maxNodes,
): Mistake[] {
  const walk: Walk = { mistakes: [], seen: new Set(), references: [], maxNodes: limit };
  for (const { schema, path } of schemas) visit(schema, path, walk);
  for (const { reference, path } of walk.references) {
    const target = resolveReference(root, reference);
    if (typeof target === 'boolean' || walk.seen.has(target)) continue;
    walk.mistakes.push({ path, message: `${reference} leads to ${target === undefined ? 'nothing' : 'no schema'}` });
  }
  if (walk.mistakes.length === 0) walk.mistakes.push(...checkTries(walk.seen, root));
  return walk.mistakes.slice(0, 100);
}

function visit(schema: unknown, path: ValuePath, walk: Walk): void {
  const { mistakes, seen, maxNodes: limit } = walk;
  if (typeof schema === 'boolean' || seen.has(schema)) return;
  if (seen.size >= limit || path.length > maxPath) {
    mistakes.push({ path: [], message: `schemas may have ${limit} parts, in ${maxPath} levels` });
    return;
  }
  if (!isObject(schema)) {
    mistakes.push({ path, message: 'expected a JSON Schema: an object, true or false' });
    return;
  }
  seen.add(schema);
  for (const [keyword, value] of Object.entries(schema)) visitKeyword(keyword, value, path, walk);
}

function visitKeyword(keyword: string, value: unknown, path: ValuePath, walk: Walk): void {
  const { mistakes } = walk;
  const at = [...path, keyword];
  const kind = kindOfKeyword(keyword, value);
  if (keyword === '$ref') noteReference(value, at, walk);
  else if (keyword === '$dynamicRef' || keyword === '$recursiveRef' || (keyword === '$id' && path.length > 0)) {
    mistakes.push({ path: at, message: `\`${keyword}\` is not supported here; use \`$ref\`` });
  } else if (keyword === 'pattern') checkPattern(value, at, walk);
  else if (kind === 'schema') visit(value, at, walk);
  else if (kind === 'list' && Array.isArray(value)) {
    for (const [index, part] of value.entries()) visit(part, [...at, index], walk);
  } else if (kind === 'names' && isObject(value)) {
    for (const [name, part] of Object.entries(value)) {
      if (keyword === 'patternProperties') checkPattern(name, [...at, name], walk, true);
      if (!Array.isArray(part)) visit(part, [...at, name], walk);
    }
  } else if (kind !== 'data' || !isPlausible(keyword, value)) {
    mistakes.push({ path: at, message: `no value that \`${keyword}\` can have` });
  }
}

/** Of keywords with simple values: a schema that is read otherwise than it is meant lets everything pass. */
function isPlausible(keyword: string, value: unknown): boolean {
  if (/^(min|max)(Length|Items|Properties|Contains)$/.test(keyword))
    return Number.isInteger(value) && Number(value) >= 0;
  if (/^(exclusiveM|m)(ax|in)imum$|^multipleOf$/.test(keyword)) return typeof value === 'number';
  if (keyword === 'required') return Array.isArray(value) && value.every((name) => typeof name === 'string');
  if (keyword === 'enum') return Array.isArray(value);
  if (keyword === 'type') return [value].flat().every((type) => types.has(type));
  return true;
}

const types: ReadonlySet<unknown> = new Set(['null', 'boolean', 'object', 'array', 'number', 'integer', 'string']);

function noteReference(value: unknown, path: ValuePath, { mistakes, references }: Walk): void {
  if (typeof value === 'string' && /^#(\/|$)/.test(value)) references.push({ reference: value, path });
  else mistakes.push({ path, message: 'expected a reference within the document, such as `#/$defs/name`' });
}

/** Names are tried whatever their length, so a pattern for them must be quick with any. */
function checkPattern(value: unknown, path: ValuePath, { mistakes }: Walk, ofNames = false): void {
  const verdict = typeof value === 'string' ? judgePattern(value) : refusePattern('expected a text');
  const why =
    verdict.kind === 'refused'
      ? verdict.why
      : ofNames && verdict.maxLength < longestName
        ? 'for names there may be one open repetition (`*` or `+`), or none without `^` in front'
        : null;
  if (why !== null) mistakes.push({ path, message: `the pattern is refused: ${why}` });
}

const longestName = 1_000_000;

/** That what is tried at one place of a value ends, and soon: through references, alternatives multiply. */
function checkTries(schemas: ReadonlySet<unknown>, root: unknown): Mistake[] {
  const known = new Map<unknown, number>();
  const tries = (schema: unknown): number => {
    if (!isObject(schema)) return 1;
    const before = known.get(schema);
    if (before !== undefined) return before;
    // Who comes back here while this is worked out goes round in a circle.
    known.set(schema, Number.POSITIVE_INFINITY);
    let sum = 1;
    if (typeof schema['$ref'] === 'string') sum += tries(resolveReference(root, schema['$ref']));
    for (const [keyword, value] of Object.entries(schema)) {
      if (inPlace.has(keyword)) for (const part of listParts(keyword, value)) sum += tries(part);
    }
    known.set(schema, sum);
    return sum;
  };
  const most = [...schemas].reduce<number>((sum, schema) => Math.max(sum, tries(schema)), 0);
  if (most <= maxTries) return [];
  const message = Number.isFinite(most)
    ? `alternatives and references are more than ${maxTries} at one place`
    : 'a reference leads back to itself without a property or an item in between';
  return [{ path: [], message }];
}

function listParts(keyword: string, value: unknown): readonly unknown[] {
  switch (kindOfKeyword(keyword, value)) {
    case 'schema':
      return [value];
    case 'list':
      return value as readonly unknown[];
    default:
      return Object.values(value as object);
  }
}
