/**
 * OpenAPI documents (3.0 and 3.1) as data: where their schemas are, where their references lead, and how their schemas
 * become such of JSON Schema 2020-12.
 */
import { findMistakesOfSchemas } from './json-schema-check.ts';
import type { Mistake, ValuePath } from './schema-mistakes.ts';
import { isObject, mapSubschemas, resolveReference } from './subschemas.ts';

/** Whose schemas: what is only in answers is not asked of requests, and the other way round (`readOnly`, `writeOnly`). */
export type Direction = 'request' | 'answer';

export const openapiMethods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const;

const maxSchemas = 100_000;

/** Objects whose keys are names, so that one of them may be called `schema`. */
const maps: ReadonlySet<string> = new Set([
  'paths',
  'webhooks',
  'pathItems',
  'parameters',
  'requestBodies',
  'responses',
  'headers',
  'content',
  'callbacks',
  'links',
  'securitySchemes',
  'encoding',
]);

/** The document with its schemas as JSON Schema 2020-12 has them. */
export function convertDocument(source: unknown, direction: Direction): Record<string, unknown> {
  const isOld = isObject(source) && String(source['openapi']).startsWith('3.0');
  return mapSchemas(source, (schema) => convertSchema(schema, isOld, direction)) as Record<string, unknown>;
}

function mapSchemas(
  value: unknown,
  map: (schema: unknown, path: ValuePath) => unknown,
  path: ValuePath = [],
  isMap = false,
): unknown {
  if (Array.isArray(value)) return value.map((part, index) => mapSchemas(part, map, [...path, index]));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).flatMap(([key, part]): [string, unknown][] => {
    const at = [...path, key];
    if (isMap) return [[key, mapSchemas(part, map, at)]];
    // Extensions and examples may look like anything.
    if (key.startsWith('x-') || key === 'example' || key === 'examples') return [];
    if (key === 'schema') return [[key, map(part, at)]];
    if (key !== 'schemas' || !isObject(part)) return [[key, mapSchemas(part, map, at, maps.has(key))]];
    return [[key, Object.fromEntries(Object.entries(part).map(([name, one]) => [name, map(one, [...at, name])]))]];
  });
  return Object.fromEntries(entries);
}

function convertSchema(source: unknown, isOld: boolean, direction: Direction): unknown {
  if (!isObject(source)) return source;
  // Beside a reference nothing counts in 3.0.
  if (isOld && typeof source['$ref'] === 'string') return { $ref: source['$ref'] };
  const { example: _, ...rest } = source;
  const schema = mapSubschemas(isOld ? withoutOldLimits(rest) : rest, (part) => convertSchema(part, isOld, direction));
  const { properties, required } = source;
  if (isObject(properties) && Array.isArray(required)) {
    const ofOthers = direction === 'request' ? 'readOnly' : 'writeOnly';
    const isAsked = (name: unknown): boolean => {
      const property = Object.hasOwn(properties, String(name)) ? properties[String(name)] : undefined;
      return !(isObject(property) && property[ofOthers] === true);
    };
    schema['required'] = required.filter(isAsked);
  }
  return isOld ? withNull(schema) : schema;
}

/** Limits that are excluded by a flag beside them (draft 4). */
function withoutOldLimits(source: Record<string, unknown>): Record<string, unknown> {
  const schema = { ...source };
  for (const [flag, limit] of [
    ['exclusiveMinimum', 'minimum'],
    ['exclusiveMaximum', 'maximum'],
  ] as const) {
    const isExcluded = schema[flag] === true;
    if (typeof schema[flag] === 'boolean') delete schema[flag];
    if (!isExcluded || schema[limit] === undefined) continue;
    schema[flag] = schema[limit];
    delete schema[limit];
  }
  return schema;
}

function withNull({ nullable, ...schema }: Record<string, unknown>): Record<string, unknown> {
  if (nullable !== true) return schema;
  const { type, enum: values } = schema;
  if (typeof type === 'string') {
    return { ...schema, type: [type, 'null'], ...(Array.isArray(values) && { enum: [...values, null] }) };
  }
  // By the letter this is nothing without a `type`; everybody means it of what the others refer to.
  return { anyOf: [{ type: 'null' }, schema] };
}

/** The object that is meant, where a reference may stand in its place. */
export function follow(value: unknown, document: unknown): Record<string, unknown> {
  let found = value;
  for (let steps = 0; steps < 10 && isObject(found) && typeof found['$ref'] === 'string'; steps++) {
    found = resolveReference(document, found['$ref']);
  }
  return isObject(found) && typeof found['$ref'] !== 'string' ? found : {};
}

/** What is wrong with a document; none when it can be compiled. */
export function findOpenapiMistakes(source: unknown): Mistake[] {
  try {
    return findMistakes(source);
  } catch (error) {
    if (error instanceof RangeError) return [{ path: [], message: 'the document is nested too deep' }];
    throw error;
  }
}

function findMistakes(source: unknown): Mistake[] {
  if (!isObject(source)) return [{ path: [], message: 'expected an OpenAPI document' }];
  const version = source['openapi'];
  if (typeof version !== 'string' || !/^3\.[01]\./.test(version)) {
    return [{ path: ['openapi'], message: `expected version 3.0 or 3.1, got ${JSON.stringify(version) ?? 'none'}` }];
  }
  if (!isObject(source['paths'])) return [{ path: ['paths'], message: 'expected an object of paths' }];
  const document = convertDocument(source, 'request');
  const schemas: { schema: unknown; path: ValuePath }[] = [];
  mapSchemas(document, (schema, path) => schemas.push({ schema, path }));
  return [
    ...Object.entries(source['paths']).flatMap(([path, item]) => checkPath(path, item, source)),
    ...findMistakesOfSchemas(schemas, document, maxSchemas),
  ].slice(0, 100);
}

function checkPath(path: string, source: unknown, document: unknown): Mistake[] {
  if (path.startsWith('x-')) return [];
  const at = ['paths', path];
  const mistakes: Mistake[] = [];
  if (!path.startsWith('/')) mistakes.push({ path: at, message: 'expected a path that begins with `/`' });
  // Neighbours could share what is between two slashes in too many ways.
  if (/\}\{/.test(path) || path.split('/').some((segment) => segment.split('{').length > 4)) {
    mistakes.push({
      path: at,
      message: 'expected at most three parameters between two slashes, with text between them',
    });
  }
  const item = follow(source, document);
  mistakes.push(...checkParameters(item['parameters'], [...at, 'parameters'], document));
  for (const method of openapiMethods) {
    const operation = item[method];
    if (operation === undefined) continue;
    if (!isObject(operation)) mistakes.push({ path: [...at, method], message: 'expected an operation' });
    else {
      mistakes.push(...checkParameters(operation['parameters'], [...at, method, 'parameters'], document));
      const { requestBody } = operation;
      if (requestBody !== undefined && !isObject(follow(requestBody, document)['content'])) {
        mistakes.push({ path: [...at, method, 'requestBody'], message: 'expected a body with `content`' });
      }
    }
  }
  return mistakes;
}

function checkParameters(list: unknown, path: ValuePath, document: unknown): Mistake[] {
  if (list === undefined) return [];
  if (!Array.isArray(list)) return [{ path, message: 'expected a list' }];
  return list.flatMap((one, index) => {
    const { in: place, name } = follow(one, document);
    const isPlace = ['query', 'header', 'path', 'cookie'].includes(String(place));
    if (isPlace && typeof name === 'string') return [];
    return [{ path: [...path, index], message: 'expected a parameter with `in` and `name`, in this document' }];
  });
}
