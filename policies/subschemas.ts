/** Where a JSON Schema holds schemas: everything else in it is data, whatever it looks like. */

const ofSchema: ReadonlySet<string> = new Set([
  'additionalProperties',
  'additionalItems',
  'unevaluatedProperties',
  'unevaluatedItems',
  'items',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'propertyNames',
]);
const ofList: ReadonlySet<string> = new Set(['allOf', 'anyOf', 'oneOf', 'prefixItems']);
const ofNames: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
]);

/** What the value of a keyword is. */
export function kindOfKeyword(keyword: string, value: unknown): 'schema' | 'list' | 'names' | 'data' {
  if (ofList.has(keyword) || (keyword === 'items' && Array.isArray(value))) return 'list';
  if (ofNames.has(keyword)) return 'names';
  return ofSchema.has(keyword) ? 'schema' : 'data';
}

/** A copy of a schema with other schemas in it. Draft-07's lists of names in `dependencies` stay. */
export function mapSubschemas(
  schema: Readonly<Record<string, unknown>>,
  map: (schema: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(schema).map(([keyword, value]) => [keyword, mapValue(kindOfKeyword(keyword, value), value, map)]),
  );
}

function mapValue(kind: ReturnType<typeof kindOfKeyword>, value: unknown, map: (schema: unknown) => unknown): unknown {
  if (kind === 'schema') return map(value);
  if (kind === 'list' && Array.isArray(value)) return value.map(map);
  if (kind !== 'names' || !isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, Array.isArray(part) ? part : map(part)]),
  );
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a reference leads to. */
export function resolveReference(root: unknown, reference: string): unknown {
  const keys = decodeURIComponentSafely(reference.slice(1)).split('/').slice(1);
  return keys.reduce<unknown>((value, key) => {
    const name = key.replaceAll('~1', '/').replaceAll('~0', '~');
    return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
      ? (value as Record<string, unknown>)[name]
      : undefined;
  }, root);
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
