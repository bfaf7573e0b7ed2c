/**
 * An OpenAPI document (3.0 and 3.1) as a validator: the operation is found by method and path template, then its
 * parameters, its body and its answers are looked at. Documents are checked whole before they are compiled.
 */
import type { RequestMistake } from './errors.ts';
import { createSchemaFamily, type JsonSchema, type SchemaValidator } from './json-schema.ts';
import { convertDocument, follow, openapiMethods } from './openapi-document.ts';
import { compileParameters, type Parameter } from './openapi-parameters.ts';
import type { RequestParts } from './request-parts.ts';
import { isObject } from './subschemas.ts';

/** Bodies by their media types: null for one that the operation does not have, `any` for one that is not looked at. */
export type FindBody = (contentType: string | undefined) => SchemaValidator | 'any' | null;

export interface OpenapiOperation {
  /** What is wrong with all but the body. */
  validateHead(parts: RequestParts): readonly RequestMistake[];
  /** Null where the operation has no body. */
  readonly body: { readonly required: boolean; readonly find: FindBody } | null;
  /** Bodies of answers with a status; null where the document has none. */
  findAnswer(status: number): FindBody | null;
}

export interface FoundOperation {
  readonly operation: OpenapiOperation;
  /** What the template captures, decoded. */
  readonly params: Readonly<Record<string, string>>;
}

export interface OpenapiValidator {
  /** By the path at the service, without the query. */
  find(method: string, path: string): FoundOperation | null;
}

interface Template {
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly literals: number;
  readonly operations: ReadonlyMap<string, OpenapiOperation>;
}

/** One direction of a document, and what makes validators of its schemas. */
interface Side {
  readonly document: Record<string, unknown>;
  readonly family: (schema: JsonSchema) => SchemaValidator;
}

/** Compiles a document without mistakes. */
export function compileOpenapi(source: unknown, maxSteps?: number): OpenapiValidator {
  const sideOf = (document: Record<string, unknown>): Side => ({
    document,
    family: createSchemaFamily(document, maxSteps),
  });
  const asked = sideOf(convertDocument(source, 'request'));
  const answered = sideOf(convertDocument(source, 'answer'));
  const byLength = new Map<number, Template[]>();
  for (const path of Object.keys(asked.document['paths'] as object)) {
    if (!path.startsWith('/')) continue;
    const template = compileTemplate(path, asked, answered);
    const length = path.split('/').length;
    byLength.set(length, [...(byLength.get(length) ?? []), template]);
  }
  // Templates with more that is fixed come first (OpenAPI 3.1 section 4.8.8.2).
  for (const list of byLength.values()) list.sort((a, b) => b.literals - a.literals);
  const base = basePath(asked.document);
  return {
    find(method, path) {
      const name = method.toLowerCase();
      for (const candidate of base !== '' && path.startsWith(`${base}/`) ? [path.slice(base.length), path] : [path]) {
        const found = findTemplate(byLength.get(candidate.split('/').length) ?? [], name, candidate);
        if (found !== null) return found;
      }
      return null;
    },
  };
}

function findTemplate(templates: readonly Template[], method: string, path: string): FoundOperation | null {
  for (const { pattern, names, operations } of templates) {
    const match = pattern.exec(path);
    if (match === null) continue;
    // RFC 9110 section 9.3.2: what holds for GET holds for HEAD.
    const operation = operations.get(method) ?? (method === 'head' ? operations.get('get') : undefined);
    if (operation === undefined) continue;
    return { operation, params: Object.fromEntries(names.map((name, at) => [name, decode(match[at + 1] ?? '')])) };
  }
  return null;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The path of the first server, by which the paths of the document may begin at the service. */
function basePath({ servers }: Record<string, unknown>): string {
  const url = Array.isArray(servers) && isObject(servers[0]) ? servers[0]['url'] : undefined;
  if (typeof url !== 'string' || !URL.canParse(url, 'http://localhost')) return '';
  return new URL(url, 'http://localhost').pathname.replace(/\/+$/, '');
}

function compileTemplate(path: string, asked: Side, answered: Side): Template {
  const names: string[] = [];
  const pattern = path
    .split(/(\{[^}]+\})/)
    .map((part) => {
      if (!part.startsWith('{')) return part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
      names.push(part.slice(1, -1));
      return '([^/]+)';
    })
    .join('');
  const itemOf = ({ document }: Side) => follow((document['paths'] as Record<string, unknown>)[path], document);
  const item = itemOf(asked);
  const answers = itemOf(answered);
  const operations = new Map(
    openapiMethods.flatMap((method) => {
      const operation = item[method];
      if (!isObject(operation)) return [];
      const parameters = [...listOf(item['parameters']), ...listOf(operation['parameters'])];
      const responses = (answers[method] as Record<string, unknown>)['responses'];
      return [
        [
          method,
          { ...compileOperation(operation, parameters, asked), findAnswer: compileAnswers(responses, answered) },
        ],
      ] as const;
    }),
  );
  return { pattern: new RegExp(`^${pattern}$`), names, literals: path.replaceAll(/\{[^}]+\}/g, '').length, operations };
}

function compileOperation(
  operation: Record<string, unknown>,
  parameters: readonly unknown[],
  { document, family }: Side,
): Omit<OpenapiOperation, 'findAnswer'> {
  // Those of an operation replace those of its path.
  const byName = new Map<string, Parameter>();
  for (const one of parameters) {
    const parameter = follow(one, document) as unknown as Parameter;
    byName.set(`${parameter.in} ${parameter.name}`, parameter);
  }
  const body = operation['requestBody'] === undefined ? null : follow(operation['requestBody'], document);
  return {
    validateHead: compileParameters([...byName.values()], document, family),
    body: body && { required: body['required'] === true, find: compileContent(body['content'], family) },
  };
}

function compileAnswers(responses: unknown, { document, family }: Side): OpenapiOperation['findAnswer'] {
  const byStatus = new Map(
    Object.entries(isObject(responses) ? responses : {}).map(([status, one]) => {
      const { content } = follow(one, document);
      return [status.toUpperCase(), content === undefined ? null : compileContent(content, family)] as const;
    }),
  );
  return (status) => {
    const names = [String(status), `${Math.floor(status / 100)}XX`, 'DEFAULT'];
    return byStatus.get(names.find((name) => byStatus.has(name)) ?? '') ?? null;
  };
}

function compileContent(content: unknown, family: Side['family']): FindBody {
  const list = Object.entries(isObject(content) ? content : {}).map(([source, media]) => {
    const range = bareType(source);
    const schema = isObject(media) ? media['schema'] : undefined;
    const isJson = /[/+]json$/.test(range);
    return { range, validator: schema !== undefined && isJson ? family(schema as JsonSchema) : ('any' as const) };
  });
  // `application/json` before `application/*`, and that before all (OpenAPI 3.1 section 4.8.14).
  list.sort((a, b) => Number(a.range.includes('*')) - Number(b.range.includes('*')) || b.range.length - a.range.length);
  return (contentType) => {
    const type = bareType(contentType ?? '');
    return list.find(({ range }) => fits(type, range))?.validator ?? null;
  };
}

function fits(type: string, range: string): boolean {
  return range === type || range === '*/*' || (range.endsWith('/*') && type.startsWith(range.slice(0, -1)));
}

function bareType(text: string): string {
  return (text.split(';', 1)[0] ?? '').trim().toLowerCase();
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
