/**
 * What services themselves say of their routes: JSON Schemas of `validate`, and OpenAPI documents there. Read as far as they
 * are understood: a description is no reason to fail.
 */
import { hash } from 'node:crypto';
import type { Route } from '../subgraphs/service-definition.ts';
import type { JsonSchema } from './openapi-graphql.ts';

type Part = Readonly<Record<string, unknown>>;

export interface ServiceDescription {
  /** Members of the operation. */
  readonly operation: Part;
  /** Components that it refers to, by kind and name. */
  readonly components: Readonly<Record<string, Part>>;
}

/** What is known of one method of a route; empty where its service says nothing. */
export function describeByService(service: string, route: Route, method: string): ServiceDescription {
  const { validate } = route as { readonly validate?: Part };
  if (validate === undefined) return { operation: {}, components: {} };
  const said = validate['openapi'];
  const document = isPart(said) && isPart(said['document']) ? said['document'] : said;
  if (isPart(document)) return pickOperation(service, document, route, method);
  const { body, query, headers, params } = validate;
  const parameters = [
    ...listParameters('path', params),
    ...listParameters('query', query),
    ...listParameters('header', headers),
  ];
  const hasBody = body !== undefined && ['post', 'put', 'patch'].includes(method);
  return {
    operation: {
      ...(parameters.length > 0 && { parameters }),
      ...(hasBody && { requestBody: { required: true, content: { 'application/json': { schema: embed(body) } } } }),
    },
    components: {},
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

function pickOperation(service: string, document: Part, route: Route, method: string): ServiceDescription {
  const paths = isPart(document['paths']) ? document['paths'] : {};
  const wanted = shapeOf(route.rewrite ?? route.match.path);
  const [, item] = Object.entries(paths).find(([path]) => shapeOf(path) === wanted) ?? [];
  const own = isPart(item) ? item[method] : undefined;
  if (!isPart(item) || !isPart(own)) return { operation: {}, components: {} };
  const isOld = String(document['openapi']).startsWith('3.0');
  const move = (value: unknown) => relocate(value, `${service}.`, isOld);
  const { security: _, servers: __, callbacks: ___, operationId: ____, ...said } = own;
  const parameters = [...asList(item['parameters']), ...asList(said['parameters'])];
  const components = isPart(document['components']) ? document['components'] : {};
  const kinds = ['schemas', 'responses', 'parameters', 'examples', 'requestBodies', 'headers'];
  return {
    operation: move({ ...said, ...(parameters.length > 0 && { parameters }) }) as Part,
    components: Object.fromEntries(
      kinds.flatMap((kind) => {
        const entries = components[kind];
        if (!isPart(entries)) return [];
        return [
          [kind, Object.fromEntries(Object.entries(entries).map(([name, one]) => [`${service}.${name}`, move(one)]))],
        ];
      }),
    ),
  };
}

/** Names of components get that of the service in front; what OpenAPI 3.0 says otherwise than JSON Schema is put right. */
function relocate(value: unknown, prefix: string, isOld: boolean): unknown {
  if (Array.isArray(value)) return value.map((entry) => relocate(entry, prefix, isOld));
  if (!isPart(value)) return value;
  const moved = Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === '$ref' && typeof inner === 'string'
        ? inner.replace(/^#\/components\/(\w+)\//, (start) => `${start}${prefix}`)
        : relocate(inner, prefix, isOld),
    ]),
  );
  return isOld ? modernize(moved) : moved;
}

function modernize(schema: Part): Part {
  const { nullable, exclusiveMinimum, exclusiveMaximum, ...rest } = schema;
  const { type, minimum, maximum } = rest;
  const bound = (name: string, flag: unknown, limit: unknown) =>
    flag === undefined ? {} : flag === true ? { [name]: limit } : flag === false ? {} : { [name]: flag };
  return {
    ...rest,
    ...bound('exclusiveMinimum', exclusiveMinimum, minimum),
    ...bound('exclusiveMaximum', exclusiveMaximum, maximum),
    ...(nullable === true && typeof type === 'string' && { type: [type, 'null'] }),
  };
}

/** Equal for templates that differ only in the names of parameters. */
function shapeOf(path: string): string {
  return path.replaceAll(/\{[^}]*\}|(?<=\/):\w+(\([^)]*\))?/g, '{}').replace(/\*$/, '{}');
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isPart(value: unknown): value is Part {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
