/**
 * What is wrong with a configuration, in sentences. TypeBox says which keyword failed where; people need the place, what
 * was expected, and what was got.
 */
import type { TLocalizedValidationError } from 'typebox/error';
import { Settings as TypeboxSettings } from 'typebox/system';
import { Value } from 'typebox/value';
import { configSchema, describeExpected, describeValue, findClosest, type SchemaNode } from './config-expectation.ts';
import { GatewayConfig } from './config-schema.ts';

/** Keys and indices from the root of the configuration to a value. */
export type ConfigPath = readonly (string | number)[];

/** One mistake, at one place. */
export interface Mistake {
  readonly path: ConfigPath;
  readonly message: string;
  /** Set where the key itself is wrong rather than its value. */
  readonly atKey?: boolean;
}

/** More than anyone reads; TypeBox stops at 8 by itself. */
const maxErrors = 200;
/** Everything by which a value fails the configuration's schema. */
export function findSchemaMistakes(value: unknown): Mistake[] {
  const errors = collectErrors(value);
  return dropUnionNoise(errors, value).flatMap((error) => describeError(error, value));
}

/**
 * The bound on the number of errors is a setting of the whole library, so it is put back at once; nothing can run in
 * between.
 */
function collectErrors(value: unknown): TLocalizedValidationError[] {
  const before = TypeboxSettings.Get().maxErrors;
  TypeboxSettings.Set({ maxErrors });
  try {
    return Value.Errors(GatewayConfig, value);
  } finally {
    TypeboxSettings.Set({ maxErrors: before });
  }
}

/**
 * A failed union brings the errors of all its branches. Of a union of literals only the union is of interest, of others
 * the errors of the branch that was meant: the one of the value's kind.
 */
function dropUnionNoise(errors: readonly TLocalizedValidationError[], root: unknown): TLocalizedValidationError[] {
  const unions = errors.filter((error) => error.keyword === 'anyOf');
  const replaced = new Set<TLocalizedValidationError>();
  const unwanted = unions.map((union) => {
    const prefix = `${union.schemaPath}/anyOf/`;
    const kind = kindOf(valueAt(root, parsePointer(union.instancePath)));
    const meant = (schemaAt(union.schemaPath).anyOf ?? []).findIndex(
      (branch) => branch.const === undefined && branch.type === kind && (kind === 'object' || kind === 'array'),
    );
    if (meant >= 0) replaced.add(union);
    return { prefix, kept: meant >= 0 ? `${prefix}${meant}` : undefined, at: union.instancePath };
  });
  return errors.filter(
    (error) =>
      !replaced.has(error) &&
      !unwanted.some(
        ({ prefix, kept, at }) =>
          error.instancePath.startsWith(at) &&
          error.schemaPath.startsWith(prefix) &&
          (kept === undefined || !`${error.schemaPath}/`.startsWith(`${kept}/`)),
      ),
  );
}

function describeError(error: TLocalizedValidationError, root: unknown): Mistake[] {
  const path = parsePointer(error.instancePath);
  const schema = schemaAt(error.schemaPath);
  switch (error.keyword) {
    case 'boolean':
      // The `false` of `additionalProperties`: the object's own error names the key.
      return [];
    case 'additionalProperties':
      return error.params.additionalProperties.map((key) => ({
        path: [...path, key],
        message: describeUnknownKey(key, schema),
        atKey: true,
      }));
    case 'required':
      return error.params.requiredProperties.map((key) => ({
        path,
        message: `the key \`${key}\` is missing; expected ${describeExpected(schema.properties?.[key] ?? {})}`,
      }));
    default:
      return [
        { path, message: `expected ${describeExpected(schema)}, got ${describeValue(valueAt(root, path), schema)}` },
      ];
  }
}

function describeUnknownKey(key: string, schema: SchemaNode): string {
  const pattern = Object.keys(schema.patternProperties ?? {})[0];
  if (pattern !== undefined) {
    const expected = pattern.includes('\\.')
      ? 'a field such as `Query.products`'
      : `a name that matches \`${pattern}\``;
    return `expected ${expected} as the key`;
  }
  const known = Object.keys(schema.properties ?? {});
  const close = findClosest(key, known);
  return close === undefined
    ? `unknown key; known here: ${known.map((name) => `\`${name}\``).join(', ')}`
    : `unknown key; did you mean \`${close}\`?`;
}

function schemaAt(pointer: string): SchemaNode {
  return (valueAt(configSchema, parsePointer(pointer.slice(1))) ?? {}) as SchemaNode;
}

/** Segments of a JSON pointer (RFC 6901); whole numbers stand for indices. */
function parsePointer(pointer: string): (string | number)[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((segment) => (/^\d+$/.test(segment) ? Number(segment) : segment));
}

function valueAt(root: unknown, path: ConfigPath): unknown {
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
