/** What services say of a route by the JSON Schemas of its `validate`. Read as far as they are understood. */
import { hash } from 'node:crypto';
import type { Route } from '../subgraphs/service-definition.ts';
import type { JsonSchema } from './openapi-graphql.ts';

type Part = Readonly<Record<string, unknown>>;

/** Members of the operation that one method of a route is; empty where its service says nothing. */
export function describeBySchemas({ validate }: Pick<Route, 'validate'>, method: string): Part {
  if (validate === undefined) return {};
  const { body, query, headers, params } = validate;
  const parameters = [
    ...listParameters('path', params),
    ...listParameters('query', query),
    ...listParameters('header', headers),
  ];
  const hasBody = body !== undefined && ['post', 'put', 'patch'].includes(method);
  return {
    ...(parameters.length > 0 && { parameters }),
    ...(hasBody && { requestBody: { required: true, content: { 'application/json': { schema: embed(body) } } } }),
  };
}

function listParameters(place: string, schema: unknown): Part[] {
  if (!isPart(schema)) return [];
  const required = new Set(Array.isArray(schema['required']) ? schema['required'] : []);
  return Object.entries(isPart(schema['properties']) ? schema['properties'] : {}).map(([name, inner]) => ({
    name,
    in: place,
    required: place === 'path' || required.has(name),
    // A property may refer to `$defs` beside it, which are not taken along.
    schema: refersWithin(inner) ? {} : inner,
  }));
}

function refersWithin(schema: unknown): boolean {
  return JSON.stringify(schema ?? null).includes('"$ref"');
}

/** With an id of its own, `#/$defs/...` within the schema goes on to mean the schema, and not the whole document. */
function embed(schema: unknown): JsonSchema | boolean {
  if (!isPart(schema)) return schema === true;
  return refersWithin(schema) && schema['$id'] === undefined
    ? { $id: `urn:selvage:${hash('sha256', JSON.stringify(schema)).slice(0, 16)}`, ...schema }
    : schema;
}

function isPart(value: unknown): value is Part {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
