/**
 * What the OpenAPI document of a service says of the requests that routes bring to it: its operations under the paths of the
 * gateway, and the components that these refer to. The document may be anybody's: references lead nowhere but into it, what
 * is taken of it is bounded, and nothing of it says where the service is, or who may ask.
 */
import { follow, openapiMethods } from '../policies/openapi-document.ts';
import { isObject, kindOfKeyword, resolveReference } from '../policies/subschemas.ts';
import type { Route } from '../subgraphs/service-definition.ts';
import { compileLeadBack } from './openapi-paths.ts';

type Part = Readonly<Record<string, unknown>>;

/** How much may still be taken; shared by all that count on it. */
export interface OpenapiBudget {
  characters: number;
}

export interface ServiceOperation {
  /** Template of the path at the gateway. */
  readonly path: string;
  readonly method: string;
  readonly operation: Part;
}

export interface ServiceOperations {
  readonly operations: readonly ServiceOperation[];
  readonly isWhole: boolean;
}

/** Components that were referred to, by kind and name. */
export type OpenapiComponents = Record<string, Record<string, unknown>>;

const perService = 4_000_000;
const maxDepth = 100;
const maxPathLength = 2_048;

/** Kinds of components that operations refer to. */
const kinds: ReadonlySet<string> = new Set(['schemas', 'responses', 'parameters', 'requestBodies', 'headers']);
/** What would be untrue at the gateway, lead out of the document, or is no description. */
const dropped: ReadonlySet<string> = new Set([
  ...['servers', 'security', 'callbacks', 'links', 'operationId', 'tags', 'example', 'examples'],
]);
const droppedOfSchemas: ReadonlySet<string> = new Set([
  ...['$id', '$schema', '$anchor', '$dynamicAnchor', '$dynamicRef', '$defs', 'definitions', 'example', 'nullable'],
]);
const maps: ReadonlySet<string> = new Set(['responses', 'headers', 'content', 'encoding']);

/** There is more of it than may be taken. */
class OverBudget extends Error {}

export class ServiceOpenapi {
  readonly #service: string;
  readonly #document: Part;
  readonly #isOld: boolean;
  readonly #components: OpenapiComponents;
  readonly #budgets: readonly OpenapiBudget[];
  /** Names in the document of the gateway by the references to them here. */
  readonly #names = new Map<string, string>();
  #waiting: (() => void)[] = [];

  /** `components` is added to. */
  constructor(service: string, document: object, components: OpenapiComponents, budget: OpenapiBudget) {
    this.#service = service;
    this.#document = document as Part;
    this.#isOld = String(this.#document['openapi']).startsWith('3.0');
    this.#components = components;
    this.#budgets = [budget, { characters: perService }];
  }

  /** The operations that a route leads to, as many as there is room for, and whether these are all. */
  list(route: Pick<Route, 'match' | 'rewrite'>): ServiceOperations {
    const leadBack = compileLeadBack(route);
    const { paths } = this.#document;
    if (leadBack === null || !isObject(paths)) return { operations: [], isWhole: false };
    const base = readBasePath(this.#document);
    const found: ServiceOperation[] = [];
    try {
      for (const [path, source] of Object.entries(paths)) {
        if (!path.startsWith('/') || path.length > maxPathLength) continue;
        const own = leadBack(base + path) ?? leadBack(path);
        const item = own === null ? {} : follow(source, this.#document);
        for (const method of openapiMethods) {
          if (own === null || !isObject(item[method])) continue;
          found.push({ path: own, method, operation: this.#take(item, item[method]) });
        }
      }
    } catch (error) {
      if (!(error instanceof OverBudget)) throw error;
      return { operations: found, isWhole: false };
    }
    return { operations: found, isWhole: true };
  }

  #take(item: Part, source: Part): Part {
    const { parameters: _, responses, ...rest } = source;
    const operation = {
      ...(this.#move(rest, 'part', 0) as Part),
      parameters: this.#takeParameters([...listOf(item['parameters']), ...listOf(source['parameters'])]),
      ...(isObject(responses) && { responses: this.#takeResponses(responses) }),
    };
    // Components of components: one after another, so that those that refer to themselves end.
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next();
    return operation;
  }

  /** In place of references, so that each can be told from the others. Those of the operation replace those of the path. */
  #takeParameters(list: readonly unknown[]): Part[] {
    const byName = new Map<string, Part>();
    for (const one of list) {
      const source = follow(one, this.#document);
      const { in: place, name, content } = source;
      if (typeof name !== 'string' || !['query', 'header', 'path', 'cookie'].includes(String(place))) continue;
      const moved = this.#move(source, 'part', 0) as Part;
      const needed = place === 'path' ? { required: true } : {};
      const schema = content === undefined && moved['schema'] === undefined ? { schema: {} } : {};
      byName.set(`${String(place)} ${name}`, { ...moved, ...needed, ...schema });
    }
    return [...byName.values()];
  }

  #takeResponses(responses: Part): Part {
    return Object.fromEntries(
      Object.entries(responses)
        .filter(([status]) => /^([1-5](\d\d|XX)|default)$/.test(status))
        .map(([status, one]) => [status, this.#takeResponse(one)]),
    );
  }

  /** A description is required of a response (OpenAPI 3.1 section 4.8.17). */
  #takeResponse(source: unknown): Part {
    const moved = this.#move(source, 'part', 0);
    if (!isObject(moved)) return { description: '' };
    if (typeof moved['$ref'] === 'string' || typeof moved['description'] === 'string') return moved;
    return { ...moved, description: '' };
  }

  #move(value: unknown, place: 'part' | 'names' | 'schema' | 'data', depth: number): unknown {
    this.#spend(typeof value === 'string' ? value.length : 8);
    if (typeof value !== 'object' || value === null) return value;
    if (depth > maxDepth) return {};
    if (place === 'schema') return isObject(value) ? this.#moveSchema(value, depth) : {};
    const inner = place === 'names' ? 'part' : place;
    if (Array.isArray(value)) return value.map((one) => this.#move(one, inner, depth + 1));
    const { $ref } = value as Part;
    if (place === 'part' && typeof $ref === 'string') return this.#refer($ref, null);
    const entries = Object.entries(value).flatMap(([key, one]): [string, unknown][] => {
      this.#spend(key.length);
      if (place !== 'part') return [[key, this.#move(one, inner, depth + 1)]];
      if (dropped.has(key) || key.startsWith('x-')) return [];
      const next = key === 'schema' ? 'schema' : maps.has(key) ? 'names' : 'part';
      return [[key, this.#move(one, next, depth + 1)]];
    });
    return Object.fromEntries(entries);
  }

  #moveSchema(source: Part, depth: number): unknown {
    const { $ref } = source;
    const referred = typeof $ref === 'string' ? this.#refer($ref, 'schemas') : {};
    // Beside a reference nothing counts in 3.0.
    if (this.#isOld && typeof $ref === 'string') return referred;
    const entries = Object.entries(this.#isOld ? withoutOldLimits(source) : source).flatMap(([key, one]) => {
      this.#spend(key.length);
      if (key === '$ref' || droppedOfSchemas.has(key) || key.startsWith('x-')) return [];
      return [[key, this.#moveKeyword(key, one, depth)] as const];
    });
    const schema = { ...Object.fromEntries(entries), ...referred };
    return this.#isOld && source['nullable'] === true ? withNull(schema) : schema;
  }

  #moveKeyword(key: string, value: unknown, depth: number): unknown {
    if (key === 'discriminator') return this.#moveDiscriminator(value);
    const kind = kindOfKeyword(key, value);
    const move = (one: unknown) => (typeof one === 'boolean' ? one : this.#move(one, 'schema', depth + 1));
    if (kind === 'schema') return move(value);
    if (kind === 'list' && Array.isArray(value)) return value.map(move);
    if (kind !== 'names' || !isObject(value)) return this.#move(value, 'data', depth + 1);
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => {
        this.#spend(name.length);
        return [name, Array.isArray(one) ? this.#move(one, 'data', depth + 1) : move(one)];
      }),
    );
  }

  /** Its mapping holds references too, or plain names of schemas (OpenAPI 3.1 section 4.8.25). */
  #moveDiscriminator(value: unknown): unknown {
    if (!isObject(value)) return {};
    const { propertyName, mapping } = value;
    if (!isObject(mapping)) return { propertyName };
    const moved = Object.entries(mapping).flatMap(([key, one]) => {
      this.#spend(key.length);
      const reference = String(one).startsWith('#') ? String(one) : `#/components/schemas/${String(one)}`;
      const { $ref } = this.#refer(reference, 'schemas') as { readonly $ref?: string };
      return $ref === undefined ? [] : [[key, $ref] as const];
    });
    return { propertyName, mapping: Object.fromEntries(moved) };
  }

  /** A reference to what is taken along; nothing where it does not lead to something of this document. */
  #refer(reference: string, wanted: 'schemas' | null): Part {
    const kind = wanted ?? /^#\/components\/(\w+)\/[^/]+$/.exec(reference)?.[1] ?? '';
    const source = reference.startsWith('#/') && kinds.has(kind) ? resolveReference(this.#document, reference) : null;
    if (!isObject(source)) return {};
    const key = `${kind} ${reference}`;
    const known = this.#names.get(key);
    const name = known ?? this.#nameComponent(kind, reference);
    const $ref = `#/components/${kind}/${name}`;
    if (known !== undefined) return { $ref };
    this.#names.set(key, name);
    const ofKind = this.#components[kind] ?? {};
    this.#components[kind] = ofKind;
    // In case there is no room left for it.
    ofKind[name] = kind === 'responses' ? { description: '' } : {};
    this.#waiting.push(() => {
      ofKind[name] =
        kind === 'responses'
          ? this.#takeResponse(source)
          : this.#move(source, kind === 'schemas' ? 'schema' : 'part', 0);
    });
    return { $ref };
  }

  /** Of characters that names of components may have, and not that of another one. */
  #nameComponent(kind: string, reference: string): string {
    const last = reference.replace(/^#\/(components\/\w+\/)?/, '').slice(0, 100);
    const base = `${this.#service}.${last.replaceAll(/[^A-Za-z0-9._-]+/g, '_')}`;
    const taken = this.#components[kind] ?? {};
    let name = base;
    for (let count = 2; Object.hasOwn(taken, name); count++) name = `${base}_${count}`;
    return name;
  }

  #spend(characters: number): void {
    for (const budget of this.#budgets) {
      budget.characters -= characters;
      if (budget.characters < 0) {
        this.#waiting = [];
        throw new OverBudget();
      }
    }
  }
}

/** The path of the first server, which paths at the service may begin with. */
function readBasePath({ servers }: Part): string {
  const url = Array.isArray(servers) && isObject(servers[0]) ? servers[0]['url'] : undefined;
  if (typeof url !== 'string' || !URL.canParse(url, 'http://localhost')) return '';
  return new URL(url, 'http://localhost').pathname.replace(/\/+$/, '');
}

/** Limits that are excluded by a flag beside them (draft 4). */
function withoutOldLimits(source: Part): Part {
  const schema: Record<string, unknown> = { ...source };
  for (const [flag, limit] of [
    ['exclusiveMinimum', 'minimum'],
    ['exclusiveMaximum', 'maximum'],
  ] as const) {
    if (typeof schema[flag] !== 'boolean') continue;
    if (schema[flag] === true && schema[limit] !== undefined) {
      schema[flag] = schema[limit];
      delete schema[limit];
    } else delete schema[flag];
  }
  return schema;
}

function withNull(schema: Part): Part {
  const { type, enum: values } = schema;
  if (typeof type !== 'string') return { anyOf: [{ type: 'null' }, schema] };
  return { ...schema, type: [type, 'null'], ...(Array.isArray(values) && { enum: [...values, null] }) };
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
