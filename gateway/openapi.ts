/** The OpenAPI 3.1 document of all REST routes: those of services, REST from the graph, and aggregates. */
import { hash } from 'node:crypto';
import type { GraphQLSchema } from 'graphql';
import type { Settings } from './config.ts';
import type { BoundRoute } from './graph-route.ts';
import { describePlace } from './graph-route-variables.ts';
import { livePaths, readyPaths } from './health-paths.ts';
import { parsePointer } from './json-pointer.ts';
import { describeSecurity, listSecuritySchemes, problemResponses, sharedComponents } from './openapi-common.ts';
import { describeAnswer, describeInput, type JsonSchema, type SchemaComponents } from './openapi-graphql.ts';
import { listTemplateParams, toTemplate } from './openapi-paths.ts';
import { describeBySchemas } from './openapi-service.ts';
import type { OpenapiSources as Documents } from './openapi-sources.ts';
import type { OwnRoute } from './own-routes.ts';
import type { RouteTarget } from './route-table.ts';
import {
  type OpenapiBudget,
  type OpenapiComponents,
  ServiceOpenapi,
  type ServiceOperations,
} from './service-openapi.ts';

export interface OpenapiSources {
  readonly settings: Pick<Settings, 'own' | 'authentication' | 'graphql'>;
  readonly targets: readonly RouteTarget[];
  readonly bound: readonly BoundRoute[];
  /** Those of `rest` and `aggregate`, with what holds for them. */
  readonly own: readonly OwnRoute[];
  readonly schema: GraphQLSchema;
  /** Those of services. */
  readonly documents: Pick<Documents, 'findDocument' | 'revision'>;
}

type Part = Readonly<Record<string, unknown>>;

/** Builds the document. */
export function buildOpenapi(sources: OpenapiSources): Part {
  const { settings, targets, bound, own } = sources;
  const { title = 'REST routes', version, servers = [] } = settings.own.openapi ?? {};
  const document = new OpenapiDocument(sources);
  // What comes first at the door stands here: who comes later cannot take its place.
  for (const route of bound) document.addGraphRoute(route, findOwn(own, route.key));
  for (const [path, { parts }] of Object.entries(settings.own.aggregate)) {
    document.addAggregate(path, Object.keys(parts), findOwn(own, `GET ${path}`));
  }
  document.addTargets(targets);
  const content = { paths: document.paths, components: document.components };
  return {
    openapi: '3.1.0',
    info: { title, version: version ?? hash('sha256', JSON.stringify(content)).slice(0, 12) },
    jsonSchemaDialect: 'https://spec.openapis.org/oas/3.1/dialect/base',
    ...(servers.length > 0 && { servers: servers.map((url) => ({ url })) }),
    ...content,
  };
}

function findOwn(own: readonly OwnRoute[], label: string): OwnRoute | undefined {
  return own.find(({ gate }) => gate.label === label);
}

/** Methods that a route without any is described by; there are others, but nobody means them. */
const usualMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

class OpenapiDocument {
  readonly paths: Record<string, Record<string, unknown>> = {};
  readonly #sources: OpenapiSources;
  readonly #schemas: SchemaComponents = new Map();
  readonly #components: OpenapiComponents = {};
  /** Of all documents of services together. */
  readonly #budget: OpenapiBudget = { characters: 16_000_000 };
  readonly #ofServices = new Map<object, ServiceOpenapi>();
  /** Templates by what they match: the document may hold only one of those that match the same. */
  readonly #templates = new Map<string, string>();
  readonly #ids = new Set<string>();

  constructor(sources: OpenapiSources) {
    this.#sources = sources;
  }

  get components(): Part {
    const shared = sharedComponents();
    return {
      ...this.#components,
      ...shared,
      schemas: { ...this.#components['schemas'], ...Object.fromEntries(this.#schemas), ...shared.schemas },
      responses: { ...this.#components['responses'], ...shared.responses },
      securitySchemes: listSecuritySchemes(this.#sources.settings.authentication),
    };
  }

  /** What a wildcard leads to stands behind what routes say by name, of any service. */
  addTargets(targets: readonly RouteTarget[]): void {
    const isOpen = ({ route }: RouteTarget): boolean => route.match.path.endsWith('*');
    for (const target of targets) if (!isOpen(target)) this.#addTarget(target);
    const open = targets.filter(isOpen);
    for (const target of open.toSorted((a, b) => b.route.match.path.length - a.route.match.path.length)) {
      this.#addTarget(target);
    }
  }

  #addTarget(target: RouteTarget): void {
    const { route } = target;
    const { methods, path } = route.match;
    const allowed = methods ?? usualMethods;
    const described = this.#describeByDocument(target);
    for (const { path: template, method, operation } of described?.operations ?? []) {
      if (allowed.some((name) => name.toLowerCase() === method))
        this.#addOperation(target, template, method, operation);
    }
    const { validate } = route;
    // Then nothing else passes.
    if (described?.isWhole === true && validate?.mode !== 'log' && validate?.openapi?.unknown !== 'pass') return;
    for (const method of allowed) {
      this.#addOperation(target, toTemplate(path), method, describeBySchemas(route, method.toLowerCase()));
    }
  }

  /** The operations of the document of its service; null where there is none. */
  #describeByDocument({ route, service }: RouteTarget): ServiceOperations | null {
    const { validate } = route;
    if (validate?.openapi === undefined) return null;
    const document = this.#sources.documents.findDocument(service, validate);
    if (document === null) return null;
    const known =
      this.#ofServices.get(document) ?? new ServiceOpenapi(service, document, this.#components, this.#budget);
    this.#ofServices.set(document, known);
    return known.list(route);
  }

  #addOperation(target: RouteTarget, template: string, method: string, operation: Part): void {
    const { route, service, label, requirement, needsViewer, rules } = target;
    const { host } = route.match;
    const { graphql } = this.#sources.settings;
    if (livePaths.has(template) || readyPaths.has(template) || template === graphql.path) return;
    this.#add(template, method, {
      summary: label,
      tags: [service],
      ...operation,
      ...(route.retire !== undefined && { deprecated: true }),
      ...(host !== undefined && { 'x-selvage-host': host }),
      parameters: mergeParameters(template, operation['parameters']),
      responses: {
        ...((operation['responses'] as Part | undefined) ?? { '2XX': { description: 'What the service answers.' } }),
        ...problemResponses({ isGuarded: needsViewer || requirement !== null, isLimited: rules.length > 0 }),
      },
      ...this.#secure(requirement, needsViewer),
    });
  }

  addAggregate(path: string, parts: readonly string[], own: OwnRoute | undefined): void {
    const errors = { type: 'array', items: { type: 'object', required: ['part', 'code'] } };
    const schema = {
      type: 'object',
      properties: { ...Object.fromEntries(parts.map((name) => [name, {}])), _errors: errors },
      required: parts,
    };
    this.#addOwn(path, 'GET', own, { summary: `Aggregate of ${parts.join(', ')}` }, { '200': success(schema) });
  }

  addGraphRoute(bound: BoundRoute, own: OwnRoute | undefined): void {
    const { path, method, options, document, operation, misfits } = bound;
    const { schema } = this.#sources;
    const fits = misfits.length === 0;
    const answer = fits
      ? describeAnswer(schema, document, operation, parsePointer(options.select ?? ''), this.#schemas)
      : {};
    const said = {
      summary: options.summary ?? operation.name?.value ?? bound.key,
      ...(options.deprecated === true && { deprecated: true }),
      parameters: mergeParameters(toTemplate(path), this.#describeParameters(bound)),
      ...this.#describeBody(bound),
    };
    const isRead = method === 'GET';
    this.#addOwn(path, method, own, said, {
      [String(options.status ?? 200)]: success(answer),
      ...(isRead && { '304': { description: 'As it was.' } }),
      '400': { $ref: '#/components/responses/Problem' },
      '404': { $ref: '#/components/responses/Problem' },
    });
  }

  #describeParameters({ sources }: BoundRoute): Part[] {
    return sources.flatMap((source) => {
      if (source.from === 'body') return [];
      const place = { params: 'path', query: 'query', headers: 'header' }[source.from];
      const schema = describeInput(source.type, this.#schemas);
      const required = place === 'path' || source.isRequired;
      return [{ name: source.keys[0] ?? '', in: place, required, schema }];
    });
  }

  #describeBody({ sources }: BoundRoute): Part {
    const ofBody = sources.filter(({ from }) => from === 'body');
    if (ofBody.length === 0) return {};
    const [whole] = ofBody.filter(({ keys }) => keys.length === 0);
    const schema = whole
      ? describeInput(whole.type, this.#schemas)
      : {
          type: 'object',
          properties: Object.fromEntries(
            ofBody.map((source) => [source.keys[0] ?? describePlace(source), this.#describeMember(source)]),
          ),
          required: ofBody.filter(({ isRequired }) => isRequired).map(({ keys }) => keys[0] ?? ''),
        };
    const required = ofBody.some(({ isRequired }) => isRequired);
    return { requestBody: { required, content: { 'application/json': { schema } } } };
  }

  #describeMember({ type, keys }: BoundRoute['sources'][number]): JsonSchema {
    // Deeper ones stand in objects.
    return keys
      .slice(1)
      .reduceRight<JsonSchema>(
        (inner, key) => ({ type: 'object', properties: { [key]: inner } }),
        describeInput(type, this.#schemas),
      );
  }

  #addOwn(path: string, method: string, own: OwnRoute | undefined, said: Part, responses: Part): void {
    const gate = own?.gate;
    const isGuarded = gate !== undefined && (gate.needsViewer || gate.requirement !== null);
    this.#add(toTemplate(path), method, {
      parameters: mergeParameters(toTemplate(path), undefined),
      ...said,
      responses: { ...responses, ...problemResponses({ isGuarded, isLimited: (gate?.rules.length ?? 0) > 0 }) },
      ...this.#secure(gate?.requirement ?? null, gate?.needsViewer ?? false),
    });
  }

  #secure(requirement: RouteTarget['requirement'], needsViewer: boolean): Part {
    return describeSecurity(this.#sources.settings.authentication, requirement, needsViewer);
  }

  #add(template: string, method: string, operation: Part): void {
    const shape = template.replaceAll(/\{[^}]*\}/g, '{}');
    const known = this.#templates.get(shape) ?? template;
    this.#templates.set(shape, known);
    const key = method.toLowerCase();
    const item = this.paths[known] ?? {};
    this.paths[known] = item;
    if (item[key] !== undefined || key === 'head' || key === 'options') return;
    item[key] = {
      operationId: this.#nameOperation(key, template),
      ...operation,
      parameters: renameParameters(operation['parameters'] as readonly Part[], template, known),
    };
  }

  #nameOperation(method: string, template: string): string {
    const base = `${method}${template.replaceAll(/[^A-Za-z0-9]+/g, '_').replace(/_$/, '')}`;
    let id = base;
    for (let count = 2; this.#ids.has(id); count++) id = `${base}_${count}`;
    this.#ids.add(id);
    return id;
  }
}

function success(schema: JsonSchema): Part {
  return {
    description: 'The answer. `x-partial` names what is missing from it.',
    headers: { 'x-partial': { schema: { type: 'string' } } },
    content: { 'application/json': { schema } },
  };
}

/** Every parameter of the path must be described (OpenAPI 3.1 section 4.8.9.1), and nothing twice. */
function mergeParameters(template: string, said: unknown): readonly Part[] {
  const given = (Array.isArray(said) ? said : []) as readonly Part[];
  const names = listTemplateParams(template);
  const kept = given.filter(({ in: place, name }) => place !== 'path' || names.includes(String(name)));
  const missing = names.filter((name) => !kept.some((one) => one['in'] === 'path' && one['name'] === name));
  return [...missing.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })), ...kept];
}

/** Of two templates for the same paths the second takes the names of the first. */
function renameParameters(parameters: readonly Part[], from: string, to: string): readonly Part[] {
  if (from === to) return parameters;
  const [before, after] = [from, to].map(listTemplateParams);
  return parameters.map((one) => {
    const index = one['in'] === 'path' ? (before?.indexOf(String(one['name'])) ?? -1) : -1;
    return index < 0 ? one : { ...one, name: after?.[index] };
  });
}
