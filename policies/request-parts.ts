/** Requests without their bodies, and how texts of a query, a path or a header become what a schema speaks of. */
import { isObject, resolveReference } from './subschemas.ts';

/** A request without its body. */
export interface RequestParts {
  /** With its `?`, or empty. */
  readonly query: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly params: Readonly<Record<string, string>>;
}

/** Texts as the value that a schema wants. A parameter that is there twice is a list, which only an array may be. */
export function coerce(texts: readonly string[], schema: unknown, root: unknown): unknown {
  const types = typesOf(schema, root);
  if (types.includes('array')) {
    const items = resolveSchema(schema, root)?.['items'];
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

/** The types that a schema takes, also by its alternatives. */
export function typesOf(schema: unknown, root: unknown): readonly unknown[] {
  const { type, anyOf, oneOf } = resolveSchema(schema, root) ?? {};
  const own = type === undefined ? [] : [type].flat();
  const parts = [anyOf, oneOf].flatMap((list) => (Array.isArray(list) ? list : []));
  return [...own, ...parts.flatMap((part) => [resolveSchema(part, root)?.['type']].flat())];
}

/** What a schema refers to, if it does. */
export function resolveSchema(schema: unknown, root: unknown): Record<string, unknown> | undefined {
  let found: unknown = schema;
  for (let steps = 0; steps < 20; steps++) {
    const reference = (found as { readonly $ref?: unknown } | undefined | null)?.$ref;
    if (typeof reference !== 'string') return isObject(found) ? found : undefined;
    found = resolveReference(root, reference);
  }
  return undefined;
}
