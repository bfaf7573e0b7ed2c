/**
 * What is wrong with a value, in sentences, all at once. TypeBox says which keyword failed where; people need the place,
 * what was expected, and what was got.
 */
import type { Validator } from 'typebox/compile';
import type { TLocalizedValidationError } from 'typebox/error';
import { Settings } from 'typebox/system';
import type { ErrorReason } from './errors.ts';
import {
  describeExpected,
  describeKey,
  describeValue,
  findClosest,
  type SchemaNode,
  shorten,
} from './schema-expectation.ts';

/** Keys and indices from the root of a value to something in it. */
export type ValuePath = readonly (string | number)[];

/** One mistake, at one place. */
export interface Mistake {
  readonly path: ValuePath;
  readonly message: string;
  /** Set where the key itself is wrong rather than its value. */
  readonly atKey?: boolean;
}

/** What this file needs of a compiled schema. */
type Checker = Pick<Validator, 'Check' | 'Errors' | 'Type'>;

/** Mistakes that are listed. More help nobody, and a body of a megabyte can hold very many. */
const maxMistakes = 100;
/** What TypeBox may find for them: a failed union brings the errors of all its branches. */
const maxErrors = 1_000;

/** Everything by which a value fails a schema, up to a hundred mistakes; none when it fits. */
export function findSchemaMistakes(checker: Checker, value: unknown): Mistake[] {
  if (checker.Check(value)) return [];
  const schema: SchemaNode = checker.Type();
  const mistakes: Mistake[] = [];
  for (const error of dropUnionNoise(listErrors(checker, value), schema, value)) {
    mistakes.push(...describeError(error, schema, value));
    if (mistakes.length >= maxMistakes) break;
  }
  // A value that does not fit is never taken for one that does, whatever of the errors was cut or dropped.
  if (mistakes.length === 0) mistakes.push(describeMisfit([], schema, value));
  return mistakes.slice(0, maxMistakes);
}

/** Mistakes as the reasons of an error, with JSON pointers. */
export function buildReasons(mistakes: readonly Mistake[]): ErrorReason[] {
  return mistakes.map(({ path, message }) => ({ path: formatPointer(path), message }));
}

/** A path as a JSON pointer (RFC 6901 section 4). */
export function formatPointer(path: ValuePath): string {
  return path.map((key) => `/${shorten(String(key)).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/**
 * TypeBox stops at 8 errors, by a setting of the whole library; so it is put back at once, and nothing can run in
 * between.
 */
function listErrors(checker: Checker, value: unknown): TLocalizedValidationError[] {
  const before = Settings.Get().maxErrors;
  Settings.Set({ maxErrors });
  try {
    return checker.Errors(value);
  } finally {
    Settings.Set({ maxErrors: before });
  }
}

/**
 * A failed union brings the errors of all its branches. Where one branch is an object or a list as the value is, that
 * one was meant, and only its errors are of interest; otherwise only the union itself.
 */
function dropUnionNoise(
  errors: readonly TLocalizedValidationError[],
  schema: SchemaNode,
  root: unknown,
): TLocalizedValidationError[] {
  const unions = errors
    .filter((error) => error.keyword === 'anyOf')
    .map((error) => {
      const kind = kindOf(valueAt(root, parsePointer(error.instancePath)));
      const branches = schemaAt(schema, error.schemaPath).anyOf ?? [];
      const meant =
        kind === 'object' || kind === 'array' ? branches.findIndex((branch) => branch.type === kind) : undefined;
      const prefix = `${error.schemaPath}/anyOf/`;
      return { error, prefix, kept: meant === undefined || meant < 0 ? undefined : `${prefix}${meant}` };
    });
  return errors.filter((error) =>
    unions.every((union) => {
      if (error === union.error) return union.kept === undefined;
      const isBelow =
        error.schemaPath.startsWith(union.prefix) && isWithin(error.instancePath, union.error.instancePath);
      return !isBelow || (union.kept !== undefined && isWithin(error.schemaPath, union.kept));
    }),
  );
}

/** Whether a pointer leads to the place of another one or below it; `/a/10` is not below `/a/1`. */
function isWithin(pointer: string, outer: string): boolean {
  return pointer === outer || pointer.startsWith(`${outer}/`);
}

function describeError(error: TLocalizedValidationError, root: SchemaNode, value: unknown): Mistake[] {
  const path = parsePointer(error.instancePath);
  const schema = schemaAt(root, error.schemaPath);
  switch (error.keyword) {
    case 'boolean': {
      // The `false` of `additionalProperties`, once a key.
      const owner = schemaAt(root, error.schemaPath.slice(0, -'/additionalProperties'.length));
      return [{ path, message: describeUnknownKey(String(path.at(-1)), owner), atKey: true }];
    }
    case 'additionalProperties':
      // The same again. It comes behind its keys, and so not at all where they are too many.
      return [];
    case 'required':
      return error.params.requiredProperties.map((key) => ({
        path,
        message: `the key \`${key}\` is missing; expected ${describeExpected(schema.properties?.[key] ?? {})}`,
      }));
    case 'minLength':
      if (error.params.limit < 2) return [describeMisfit(path, schema, valueAt(value, path))];
      return [{ path, message: `expected at least ${error.params.limit} characters, got fewer` }];
    case 'maxLength':
      return [{ path, message: `expected at most ${error.params.limit} characters, got more` }];
    default:
      return [describeMisfit(path, schema, valueAt(value, path))];
  }
}

/** Mistakes are printed and logged: what one wanted to keep to oneself is not in them. */
const secretName = /(?:secrets?|password|privateKey|apiKey)$/i;

function describeMisfit(path: ValuePath, schema: SchemaNode, value: unknown): Mistake {
  const isSecret = typeof value === 'string' && path.some((key) => secretName.test(String(key)));
  const got = isSecret ? 'something else, which is not shown' : describeValue(value, schema);
  return { path, message: `expected ${describeExpected(schema)}, got ${got}` };
}

function describeUnknownKey(key: string, schema: SchemaNode): string {
  const pattern = Object.keys(schema.patternProperties ?? {})[0];
  if (pattern !== undefined) return `expected ${describeKey(pattern)} as the key`;
  const known = Object.keys(schema.properties ?? {});
  const close = findClosest(key, known);
  return close === undefined
    ? `unknown key; known here: ${known.map((name) => `\`${name}\``).join(', ')}`
    : `unknown key; did you mean \`${close}\`?`;
}

/** The part of a schema that an error's `schemaPath` (`#/properties/...`) leads to. */
function schemaAt(root: SchemaNode, pointer: string): SchemaNode {
  return (valueAt(root, parsePointer(pointer)) ?? {}) as SchemaNode;
}

/** Segments of a JSON pointer (RFC 6901 section 4); what is written like an index stands for one. */
function parsePointer(pointer: string): (string | number)[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((segment) => (/^(0|[1-9]\d{0,8})$/.test(segment) ? Number(segment) : segment));
}

function valueAt(root: unknown, path: ValuePath): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null ? (value as Record<string | number, unknown>)[key] : undefined,
    root,
  );
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
