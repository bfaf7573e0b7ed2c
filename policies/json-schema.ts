/**
 * JSON Schemas that others write (2020-12, and what older drafts have in common with it), made ready for bodies that
 * others send: no reference leads out of the document, none into itself, and no pattern takes long.
 */
import type { TLocalizedValidationError } from 'typebox/error';
import { Check, Errors } from 'typebox/schema';
import { Settings } from 'typebox/system';
import { judgePattern } from './pattern-safety.ts';
import { isObject, mapSubschemas } from './subschemas.ts';

export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** One thing that is wrong with a value. */
export interface ValueError {
  /** JSON pointer (RFC 6901) into the value. */
  readonly pointer: string;
  readonly message: string;
}

export interface SchemaValidator {
  /** What is wrong with a value, at most {@link maxValueErrors}; none when it fits. */
  validate(value: unknown): readonly ValueError[];
}

export const maxValueErrors = 20;
/** Creates the validator of a schema without mistakes. */
export function createSchemaValidator(schema: JsonSchema): SchemaValidator {
  return createSchemaFamily({})(schema);
}

/**
 * Creates the function that creates validators of schemas which share what they refer to: at `#/NAME/...` what `shared`
 * has for the name, by schemas that are made ready once.
 */
export function createSchemaFamily(
  shared: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): (schema: JsonSchema) => SchemaValidator {
  const each = (change: (schema: unknown) => unknown, groups: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(
      Object.entries(groups).map(([group, schemas]) => [
        group,
        { schemas: Object.fromEntries(Object.entries(schemas as object).map(([name, part]) => [name, change(part)])) },
      ]),
    );
  const common = each(prepare, shared);
  const quickCommon = each((schema) => withoutUnique(prepare(schema)), shared);
  return (schema) => {
    const own = prepare(schema);
    if (!isObject(own))
      return { validate: () => (own === true ? [] : [{ pointer: '', message: 'is not allowed here' }]) };
    const whole = { ...own, ...common };
    // TypeBox lists items that are there twice in a time that grows with the square of their number.
    const quick = { ...(withoutUnique(own) as object), ...quickCommon };
    return { validate: (value) => validate(whole, quick, value) };
  };
}

function validate(whole: unknown, quick: unknown, value: unknown): readonly ValueError[] {
  try {
    if (Check(whole as never, value)) return [];
    return describe(listErrors(quick, value));
  } catch (error) {
    // Whatever a schema does with a value that is nested as deep as it may be.
    if (error instanceof RangeError) return [{ pointer: '', message: 'is nested too deep' }];
    throw error;
  }
}

/** Patterns are compiled once, each with the length that it is matched with. */
function prepare(schema: unknown): unknown {
  if (!isObject(schema)) return schema;
  const { $id: _, $schema: __, ...rest } = schema;
  const ready = mapSubschemas(rest, prepare);
  const { pattern, maxLength } = rest;
  const verdict = typeof pattern === 'string' ? judgePattern(pattern) : undefined;
  if (typeof pattern !== 'string' || verdict?.kind !== 'safe') return ready;
  ready['maxLength'] = Math.min(typeof maxLength === 'number' ? maxLength : verdict.maxLength, verdict.maxLength);
  ready['pattern'] = bound(new RegExp(pattern, 'u'), verdict.maxLength);
  return ready;
}

/** All keywords of a schema are tried, also when `maxLength` has failed already. */
function bound(pattern: RegExp, maxLength: number): RegExp {
  const test = pattern.test.bind(pattern);
  pattern.test = (text: string) => text.length <= maxLength && test(text);
  return pattern;
}

function withoutUnique(schema: unknown): unknown {
  if (!isObject(schema)) return schema;
  const { uniqueItems: _, ...rest } = schema;
  return mapSubschemas(rest, withoutUnique);
}

/** By a setting of the whole library, which is put back at once: nothing can run in between. */
function listErrors(schema: unknown, value: unknown): readonly TLocalizedValidationError[] {
  const before = Settings.Get().maxErrors;
  Settings.Set({ maxErrors: maxValueErrors * 5 });
  try {
    return Errors(schema as never, value)[1];
  } finally {
    Settings.Set({ maxErrors: before });
  }
}

function describe(errors: readonly TLocalizedValidationError[]): readonly ValueError[] {
  const all = errors.flatMap((error): ValueError[] => {
    const pointer = error.instancePath;
    switch (error.keyword) {
      case 'required':
        return error.params.requiredProperties.map((name) => ({
          pointer: `${pointer}/${encodeKey(name)}`,
          message: 'is missing',
        }));
      case 'additionalProperties':
      case 'unevaluatedProperties':
        return [];
      case 'boolean':
        return [{ pointer, message: 'is not allowed here' }];
      default:
        return [{ pointer, message: error.message }];
    }
  });
  const distinct = [...new Map(all.map((error) => [`${error.pointer} ${error.message}`, error])).values()];
  if (distinct.length === 0)
    return [{ pointer: '', message: 'must have no item twice, and no property that is not allowed' }];
  return distinct.slice(0, maxValueErrors);
}

function encodeKey(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
