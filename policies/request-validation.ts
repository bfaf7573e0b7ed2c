/** Validation of requests by JSON Schemas, and how texts of a query, a path or a header become what a schema speaks of. */
import type { RequestMistake } from './errors.ts';
import { createSchemaValidator, type SchemaValidator } from './json-schema.ts';
import { resolveReference } from './subschemas.ts';
import { parseSizeBytes } from './units.ts';
import type { ValidateOptions } from './validate-options.ts';

/** A request without its body. */
export interface RequestParts {
  /** With its `?`, or empty. */
  readonly query: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly params: Readonly<Record<string, string>>;
}

export interface RequestValidation {
  readonly mode: 'enforce' | 'log';
  readonly maxBytes: number;
  /** Null where bodies are not looked at. */
  readonly body: SchemaValidator | null;
  /** What is wrong with all but the body. */
  validateHead(parts: RequestParts): readonly RequestMistake[];
}

/** Compiles options that have no mistakes. */
export function compileValidation(options: ValidateOptions): RequestValidation {
  const { body, query, headers, params } = options;
  const checks = [
    ...(query === undefined ? [] : [check('query', query, ({ query: text }) => readQuery(text))]),
    ...(headers === undefined ? [] : [check('header', headers, (parts) => readHeaders(parts.headers))]),
    ...(params === undefined ? [] : [check('path', params, (parts) => readParams(parts.params))]),
  ];
  return {
    mode: options.mode ?? 'enforce',
    maxBytes: parseSizeBytes(options.maxBodySize ?? '1mb'),
    body: body === undefined ? null : createSchemaValidator(body, options.maxSteps),
    validateHead: (parts) => checks.flatMap((one) => one(parts)),
  };
}

type Texts = ReadonlyMap<string, readonly string[]>;

function check(
  place: RequestMistake['in'],
  schema: Readonly<Record<string, unknown>>,
  read: (p: RequestParts) => Texts,
) {
  const validator = createSchemaValidator(schema);
  return (parts: RequestParts): readonly RequestMistake[] => {
    const values = [...read(parts)].map(([name, texts]) => [name, coerce(texts, propertyOf(schema, name), schema)]);
    return validator.validate(Object.fromEntries(values)).map((error) => ({ in: place, ...error }));
  };
}

function readQuery(query: string): Texts {
  const found = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(query)) found.set(name, [...(found.get(name) ?? []), value]);
  return found;
}

function readHeaders(headers: RequestParts['headers']): Texts {
  return new Map(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, typeof value === 'string' ? [value] : value] as const],
    ),
  );
}

function readParams(params: RequestParts['params']): Texts {
  return new Map(Object.entries(params).map(([name, value]) => [name, [value]]));
}

function propertyOf(schema: Readonly<Record<string, unknown>>, name: string): unknown {
  const properties = schema['properties'] as Record<string, unknown> | undefined;
  if (properties !== undefined && Object.hasOwn(properties, name)) return properties[name];
  return schema['additionalProperties'];
}

/** Texts as the value that a schema wants. A parameter that is there twice is a list, which only an array may be. */
export function coerce(texts: readonly string[], schema: unknown, root: unknown): unknown {
  const types = typesOf(schema, root);
  if (types.includes('array')) {
    const items = (resolve(schema, root) as { readonly items?: unknown } | undefined)?.items;
    return texts.map((text) => coerceText(text, typesOf(items, root)));
  }
  const [text = '', ...others] = texts;
  return others.length > 0 ? texts : coerceText(text, types);
}

function coerceText(text: string, types: readonly unknown[]): unknown {
  const wantsNumber = types.includes('integer') || types.includes('number');
  if (wantsNumber && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) return Number(text);
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  if (types.includes('null') && text === '') return null;
  return text;
}

function typesOf(schema: unknown, root: unknown): readonly unknown[] {
  const { type, anyOf, oneOf } = (resolve(schema, root) ?? {}) as Record<string, unknown>;
  const own = type === undefined ? [] : [type].flat();
  const parts = [anyOf, oneOf].flatMap((list) => (Array.isArray(list) ? list : []));
  return [...own, ...parts.flatMap((part) => [(resolve(part, root) as { type?: unknown } | undefined)?.type].flat())];
}

function resolve(schema: unknown, root: unknown): unknown {
  let found = schema;
  for (let steps = 0; steps < 20; steps++) {
    const reference = (found as { readonly $ref?: unknown } | undefined | null)?.$ref;
    if (typeof reference !== 'string') return found;
    found = resolveReference(root, reference);
  }
  return found;
}
