/**
 * JSON Schemas that others write (2020-12, and what older drafts have in common with it), made ready for bodies that
 * others send: no reference leads out of the document, and no pattern and no validation takes long.
 */
import type { TLocalizedValidationError } from 'typebox/error';
import { Check, Errors } from 'typebox/schema';
import { Settings } from 'typebox/system';
import { judgePattern } from './pattern-safety.ts';
import { isObject, mapSubschemas, resolveReference } from './subschemas.ts';

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
/** Schemas that may be tried in one validation, however they refer to each other. */
export const defaultMaxSteps = 100_000;

/** Creates the validator of a schema without mistakes. */
export function createSchemaValidator(schema: JsonSchema, maxSteps?: number): SchemaValidator {
  return createSchemaFamily(schema, maxSteps)(schema);
}

/**
 * Creates the function that creates validators of schemas in one document, where references begin at its root. What they
 * have in common is made ready once.
 */
export function createSchemaFamily(root: unknown, maxSteps = defaultMaxSteps): (schema: JsonSchema) => SchemaValidator {
  const steps = createSteps(maxSteps);
  const whole = createLinker(root, steps, true);
  // TypeBox lists items that are there twice in a time that grows with the square of their number.
  const quick = createLinker(root, steps, false);
  return (schema) => {
    const linked = whole(schema);
    const listed = quick(schema);
    return { validate: (value) => validate(linked, listed, steps, value) };
  };
}

function validate(whole: unknown, quick: unknown, steps: Steps, value: unknown): readonly ValueError[] {
  try {
    steps.begin();
    if (Check(whole as never, value)) return [];
  } catch (error) {
    return [describeLimit(error)];
  }
  try {
    // Here all branches are tried, so it may take longer.
    steps.begin();
    return describe(listErrors(quick, value));
  } catch (error) {
    if (error instanceof TooManySteps) return [{ pointer: '', message: 'is not what the schema asks for' }];
    return [describeLimit(error)];
  }
}

function describeLimit(error: unknown): ValueError {
  // A schema that comes back to itself twice at one place doubles its work with every level of a value.
  if (error instanceof TooManySteps) return { pointer: '', message: 'takes too many steps to validate' };
  // Whatever a schema does with a value that is nested as deep as it may be.
  if (error instanceof RangeError) return { pointer: '', message: 'is nested too deep' };
  throw error;
}

class TooManySteps extends Error {}

interface Steps {
  begin(): void;
  /** What every schema inherits from. */
  readonly base: object;
}

/**
 * Counts how often schemas are tried: TypeBox asks each for its `$id` when it begins with it, and nothing here has one.
 */
function createSteps(max: number): Steps {
  let left = 0;
  return {
    begin() {
      left = max;
    },
    base: {
      get $id(): undefined {
        left--;
        if (left < 0) throw new TooManySteps();
        return undefined;
      },
    },
  };
}

/**
 * Makes schemas ready: references are what they lead to, in circles too (TypeBox would look for it in the whole document
 * each time), and patterns are compiled, each with the length that it is matched with.
 */
function createLinker(root: unknown, steps: Steps, isUnique: boolean): (schema: unknown) => unknown {
  const ready = new Map<unknown, unknown>();
  const link = (schema: unknown): unknown => {
    if (!isObject(schema)) return schema;
    const before = ready.get(schema);
    if (before !== undefined) return before;
    const { $id: _, $schema: __, $ref: reference, ...own } = schema;
    if (!isUnique) delete own['uniqueItems'];
    const isReference = typeof reference === 'string';
    if (isReference && Object.keys(own).every((keyword) => annotations.has(keyword))) {
      return link(resolveReference(root, reference) ?? false);
    }
    const made = Object.create(steps.base) as Record<string, unknown>;
    ready.set(schema, made);
    Object.assign(made, bindPattern(mapSubschemas(own, link)));
    if (isReference) {
      const others = Array.isArray(made['allOf']) ? made['allOf'] : [];
      made['allOf'] = [...others, link(resolveReference(root, reference) ?? false)];
    }
    return made;
  };
  return link;
}

/** Keywords beside a reference that ask for nothing. */
const annotations: ReadonlySet<string> = new Set([
  '$defs',
  'definitions',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$comment',
]);

function bindPattern(schema: Record<string, unknown>): Record<string, unknown> {
  const { pattern, maxLength } = schema;
  const verdict = typeof pattern === 'string' ? judgePattern(pattern) : undefined;
  if (typeof pattern !== 'string' || verdict?.kind !== 'safe') return schema;
  return {
    ...schema,
    maxLength: Math.min(typeof maxLength === 'number' ? maxLength : verdict.maxLength, verdict.maxLength),
    pattern: bound(new RegExp(pattern, 'u'), verdict.maxLength),
  };
}

/** All keywords of a schema are tried, also when `maxLength` has failed already. */
function bound(pattern: RegExp, maxLength: number): RegExp {
  const test = pattern.test.bind(pattern);
  pattern.test = (text: string) => text.length <= maxLength && test(text);
  return pattern;
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
