/** Parameters of OpenAPI operations (3.1 section 4.8.12): how texts become the values that schemas speak of. */
import type { RequestMistake } from './errors.ts';
import type { JsonSchema, SchemaValidator } from './json-schema.ts';
import { coerce, type RequestParts, resolveSchema, typesOf } from './request-parts.ts';
import { isObject } from './subschemas.ts';

/** A parameter as a document has it. */
export interface Parameter {
  readonly in: string;
  readonly name: string;
  readonly required?: unknown;
  readonly allowEmptyValue?: unknown;
  readonly style?: unknown;
  readonly explode?: unknown;
  readonly schema?: unknown;
  readonly content?: unknown;
}

type Check = (parts: RequestParts, query: URLSearchParams) => readonly RequestMistake[];

/** Header fields that the rest of a document speaks of: as parameters they are to be ignored. */
const ofOthers: ReadonlySet<string> = new Set(['accept', 'content-type', 'authorization']);
const places = { query: 'query', header: 'header', path: 'path' } as const;

/** Creates the function that tells what is wrong with parameters. Cookies are not looked at. */
export function compileParameters(
  parameters: readonly Parameter[],
  document: unknown,
  family: (schema: JsonSchema) => SchemaValidator,
): (parts: RequestParts) => readonly RequestMistake[] {
  const checks = parameters.flatMap((parameter): Check[] => {
    const { in: place, name } = parameter;
    if (place !== 'query' && place !== 'header' && place !== 'path') return [];
    if (place === 'header' && ofOthers.has(name.toLowerCase())) return [];
    return [compileParameter(parameter, places[place], document, family)];
  });
  return (parts) => {
    const query = new URLSearchParams(parts.query);
    return checks.flatMap((check) => check(parts, query));
  };
}

function compileParameter(
  parameter: Parameter,
  place: RequestMistake['in'],
  document: unknown,
  family: (schema: JsonSchema) => SchemaValidator,
): Check {
  const { name, required, allowEmptyValue } = parameter;
  const base = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  const json = jsonSchemaOf(parameter.content);
  const schema = (parameter.content === undefined ? parameter.schema : json) ?? true;
  const validator = family(schema as JsonSchema);
  const mistake = (message: string): RequestMistake[] => [{ in: place, pointer: base, message }];
  const judge = (value: unknown): RequestMistake[] =>
    validator.validate(value).map(({ pointer, message }) => ({ in: place, pointer: base + pointer, message }));
  return (parts, query) => {
    const texts = read(parameter, schema, parts, query, document);
    if (texts === null) return required === true ? mistake('is missing') : [];
    if (texts === 'unreadable') return [];
    if (texts instanceof Map) return judge(buildObject(texts, schema, document));
    const [first = ''] = texts;
    if (allowEmptyValue === true && texts.length === 1 && first === '') return [];
    if (parameter.content === undefined) return judge(coerce(texts, schema, document));
    if (json === undefined) return [];
    try {
      return judge(JSON.parse(first));
    } catch {
      return mistake('is no JSON');
    }
  };
}

function jsonSchemaOf(content: unknown): unknown {
  if (!isObject(content)) return undefined;
  const [[range, media] = ['', undefined]] = Object.entries(content);
  return /json/i.test(range) && isObject(media) ? (media['schema'] ?? true) : undefined;
}

/** Texts of a parameter, those of an object by name, or null where it is not there. */
type Texts = readonly string[] | Map<string, string> | 'unreadable' | null;

function read(
  parameter: Parameter,
  schema: unknown,
  { headers, params }: RequestParts,
  query: URLSearchParams,
  document: unknown,
): Texts {
  const { in: place, name, content, style = place === 'query' ? 'form' : 'simple' } = parameter;
  const explode = parameter.explode ?? style === 'form';
  const types = typesOf(schema, document);
  const kind = types.includes('array') ? 'array' : types.includes('object') ? 'object' : 'simple';
  if (place === 'query') {
    if (style === 'deepObject') return readDeep(name, query);
    if (kind === 'object' && explode === true && content === undefined) return readSpread(schema, query, document);
    const found = query.getAll(name);
    if (found.length === 0) return null;
    if (kind === 'simple' || content !== undefined || explode === true) return found;
    const by = style === 'spaceDelimited' ? ' ' : style === 'pipeDelimited' ? '|' : ',';
    return split(found.join(by), by, kind, false);
  }
  const found = place === 'header' ? ownOf(headers, name.toLowerCase()) : ownOf(params, name);
  if (found === undefined) return null;
  // `label` and `matrix` are rare, and pass.
  if (style !== 'simple') return 'unreadable';
  const text = typeof found === 'string' ? found : found.join(',');
  return kind === 'simple' || content !== undefined ? [text] : split(text, ',', kind, explode === true);
}

function ownOf<T>(values: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

function split(text: string, by: string, kind: 'array' | 'object', isAssigned: boolean): Texts {
  const parts = text === '' ? [] : text.split(by).map((part) => part.trim());
  if (kind === 'array') return parts;
  if (isAssigned) {
    return new Map(parts.map((part) => [part.split('=', 1)[0] ?? '', part.slice(part.indexOf('=') + 1)] as const));
  }
  const found = new Map<string, string>();
  for (let i = 0; i < parts.length; i += 2) found.set(parts[i] ?? '', parts[i + 1] ?? '');
  return found;
}

/** `name[key]=value`, one level deep: more is not defined. */
function readDeep(name: string, query: URLSearchParams): Texts {
  const found = new Map<string, string>();
  for (const [key, value] of query) {
    if (key.startsWith(`${name}[`) && key.endsWith(']')) found.set(key.slice(name.length + 1, -1), value);
  }
  return found.size === 0 ? null : found;
}

/** Its properties are parameters of their own; with those that are not named, nobody could tell whose they are. */
function readSpread(schema: unknown, query: URLSearchParams, document: unknown): Texts {
  const properties = resolveSchema(schema, document)?.['properties'];
  const found = new Map<string, string>();
  for (const name of isObject(properties) ? Object.keys(properties) : []) {
    const value = query.get(name);
    if (value !== null) found.set(name, value);
  }
  return found.size === 0 ? null : found;
}

function buildObject(texts: Map<string, string>, schema: unknown, document: unknown): unknown {
  const properties = resolveSchema(schema, document)?.['properties'];
  const schemaOf = (name: string): unknown =>
    isObject(properties) && Object.hasOwn(properties, name) ? properties[name] : undefined;
  return Object.fromEntries([...texts].map(([name, text]) => [name, coerce([text], schemaOf(name), document)]));
}
