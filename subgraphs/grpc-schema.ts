/** What is known of a service that speaks gRPC: its methods, and the routes that lead to them. */
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import { parseDurationMs, parseSizeBytes } from '../policies/units.ts';
import type { GrpcOptions } from './grpc-options.ts';
import { compileHttpTemplate, type HttpTemplate, TemplateMistake } from './http-template.ts';
import { type Descriptors, type HttpRule, type MethodType, parseDescriptors } from './protobuf/descriptors.ts';
import { isSpecialType } from './protobuf/well-known.ts';
import { WireError } from './protobuf/wire.ts';
import type { JsonStyle } from './protobuf/wire-to-json.ts';
import { listPredicates, routeMethods } from './route-match.ts';
import type { Route, ServiceDefinition } from './service-definition.ts';

/** A method behind a path of REST. */
export interface GrpcBinding {
  readonly method: MethodType;
  readonly rule: HttpRule;
  readonly template: HttpTemplate;
}

export interface GrpcSchema {
  readonly descriptors: Descriptors | null;
  readonly web: 'translate' | 'forward' | 'refuse';
  readonly maxMessageBytes: number;
  readonly maxStreamMs: number;
  readonly style: JsonStyle;
  /** The routes that lead to its methods, without those that the definition has itself. */
  readonly routes: readonly Route[];
  /** What a path of gRPC (`/package.Service/Method`) is known to be. */
  isStreaming(path: string): boolean;
  /** Whether clients of gRPC alone call it. */
  isMethodPath(path: string): boolean;
  /** One message each way, for certain. */
  isUnary(path: string): boolean;
  /** The method behind a route; undefined where its requests are forwarded as they are. */
  findBinding(method: string, pattern: string): GrpcBinding | undefined;
}

type GrpcDefinition = Pick<ServiceDefinition, 'grpc' | 'routes' | 'http2'>;
type RouteMethods = NonNullable<Route['match']['methods']>;

const nothingKnown: Descriptors = { messages: new Map(), enums: new Map(), services: [], methods: [] };

/** Reads what {@link findGrpcMistakes} finds nothing wrong with. */
export function buildGrpcSchema(options: GrpcOptions, written: readonly Route[] = []): GrpcSchema {
  const descriptors = options.descriptors === undefined ? null : parseDescriptors(decode(options.descriptors));
  const { methods, services } = descriptors ?? nothingKnown;
  const bindings = new Map(
    options.transcoding === false ? [] : methods.flatMap((method) => buildBindings(method)).map(withKey),
  );
  const known = new Map(methods.map((method) => [`/${method.name}`, method]));
  const streaming = new Set(options.streaming?.map((name) => `/${name}`));
  const taken = new Set(written.flatMap(keysOf));
  const offered = new Set(options.services ?? services);
  const routes = [
    ...[...offered].map((name) => buildRoute('POST', `/${name}/*`)),
    ...[...bindings.values()].map(({ rule, template }) => buildRoute(rule.method, template.pattern)),
  ];
  return {
    descriptors,
    web: options.web ?? 'translate',
    maxMessageBytes: parseSizeBytes(options.maxMessageSize ?? '4mb'),
    maxStreamMs:
      options.maxStreamDuration === undefined ? Number.POSITIVE_INFINITY : parseDurationMs(options.maxStreamDuration),
    style: {
      emitDefaults: options.json?.emitDefaults ?? false,
      protoNames: options.json?.fieldNames === 'proto',
    },
    routes: routes.filter((route) => !keysOf(route).some((key) => taken.has(key))),
    isStreaming(path) {
      const method = known.get(path);
      return streaming.has(path) || method?.clientStreaming === true || method?.serverStreaming === true;
    },
    isMethodPath: (path) => offered.has(path.slice(1, path.indexOf('/', 1))),
    isUnary(path) {
      const method = known.get(path);
      return method !== undefined && !method.clientStreaming && !method.serverStreaming && !streaming.has(path);
    },
    findBinding(method, pattern) {
      const found = bindings.get(keyOf(method, pattern)) ?? bindings.get(keyOf('*', pattern));
      return found ?? (method === 'HEAD' ? bindings.get(keyOf('GET', pattern)) : undefined);
    },
  };
}

/** Schemas by what they are made of: a snapshot that changes elsewhere does not read them again. */
export class GrpcSchemas {
  readonly #known = new WeakMap<GrpcOptions, { readonly routes: readonly Route[] | undefined; schema: GrpcSchema }>();

  of({ grpc, routes }: GrpcDefinition): GrpcSchema | null {
    if (grpc === undefined) return null;
    const known = this.#known.get(grpc);
    if (known !== undefined && known.routes === routes) return known.schema;
    const schema = buildGrpcSchema(grpc, routes);
    this.#known.set(grpc, { routes, schema });
    return schema;
  }
}

/** The routes of a definition, with those that its gRPC brings. */
export function listRoutes(definition: GrpcDefinition): readonly Route[] {
  const { routes = [], grpc } = definition;
  return grpc === undefined ? routes : [...routes, ...buildGrpcSchema(grpc, routes).routes];
}

/** What contradicts itself in the gRPC of a definition, by paths below the definition. */
export function findGrpcMistakes({ grpc, routes = [], http2 }: GrpcDefinition): readonly Mistake[] {
  if (grpc === undefined) return [];
  const at = (path: ValuePath, message: string): Mistake => ({ path: ['grpc', ...path], message });
  if (grpc.protos !== undefined || grpc.protoPaths !== undefined || grpc.descriptors?.startsWith('file:') === true) {
    const option = grpc.protos !== undefined ? 'protos' : grpc.protoPaths !== undefined ? 'protoPaths' : 'descriptors';
    return [at([option], 'files are read of a configuration file only: send the descriptor set in base64')];
  }
  const mistakes: Mistake[] = [];
  if (http2 === false)
    mistakes.push({ path: ['http2'], message: 'contradicts `grpc`, which is spoken in HTTP/2 alone' });
  if (grpc.services === undefined && grpc.descriptors === undefined && routes.length === 0) {
    mistakes.push(at([], 'expected `services`, `descriptors` or routes: nothing leads to the service'));
  }
  if (grpc.descriptors === undefined) return mistakes;
  if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(grpc.descriptors)) {
    return [...mistakes, at(['descriptors'], 'expected a descriptor set in base64')];
  }
  try {
    const descriptors = parseDescriptors(decode(grpc.descriptors));
    return [...mistakes, ...findContentMistakes(grpc, descriptors).map(({ path, message }) => at(path, message))];
  } catch (thrown) {
    if (!(thrown instanceof WireError)) throw thrown;
    return [...mistakes, at(['descriptors'], `is no descriptor set that can be used: ${thrown.message}`)];
  }
}

function findContentMistakes(grpc: GrpcOptions, descriptors: Descriptors): Mistake[] {
  const mistakes: Mistake[] = [];
  for (const [index, name] of (grpc.services ?? []).entries()) {
    if (!descriptors.services.includes(name)) {
      mistakes.push({ path: ['services', index], message: `\`descriptors\` has no service ${name}` });
    }
  }
  const claims = new Map<string, string>();
  for (const method of grpc.transcoding === false ? [] : descriptors.methods) {
    for (const rule of method.rules) {
      for (const message of findRuleMistakes(rule, method, descriptors, claims)) {
        mistakes.push({ path: ['descriptors'], message: `${method.name}: ${message}` });
      }
    }
  }
  return mistakes;
}

function findRuleMistakes(
  rule: HttpRule,
  { name, input, output }: MethodType,
  { messages }: Descriptors,
  claims: Map<string, string>,
): string[] {
  if (rule.method !== '*' && !(routeMethods as readonly string[]).includes(rule.method)) {
    return [`requests with ${rule.method || 'no method'} have no routes here`];
  }
  try {
    const template = compileHttpTemplate(rule.path);
    const key = keyOf(rule.method, template.pattern);
    const other = claims.get(key);
    claims.set(key, name);
    const lost = template.fields.filter((field) => !isScalar(messages, input, field));
    return [
      ...(other === undefined ? [] : [`${rule.method} ${rule.path} leads to ${other} already`]),
      ...lost.map((field) => `${rule.path}: ${field.join('.')} is no single scalar of ${input}`),
      ...(['', '*'].includes(rule.body) || messages.get(input)?.byName.has(rule.body) === true
        ? []
        : [`body: ${input} has no field ${rule.body}`]),
      ...(rule.responseBody === '' || messages.get(output)?.byName.has(rule.responseBody) === true
        ? []
        : [`response_body: ${output} has no field ${rule.responseBody}`]),
    ];
  } catch (thrown) {
    if (thrown instanceof TemplateMistake) return [thrown.message];
    throw thrown;
  }
}

function isScalar(messages: Descriptors['messages'], type: string, [name, ...rest]: readonly string[]): boolean {
  const field = messages.get(type)?.byName.get(name ?? '');
  if (field === undefined || field.repeated) return false;
  if (rest.length > 0) return field.kind === 'message' && isScalar(messages, field.typeName, rest);
  return field.kind !== 'message' || isSpecialType(field.typeName);
}

/** What a client streams has no place in one request of JSON. */
function buildBindings(method: MethodType): GrpcBinding[] {
  if (method.clientStreaming) return [];
  return method.rules.map((rule) => ({ method, rule, template: compileHttpTemplate(rule.path) }));
}

function withKey(binding: GrpcBinding): [string, GrpcBinding] {
  return [keyOf(binding.rule.method, binding.template.pattern), binding];
}

function buildRoute(method: string, path: string): Route {
  return { match: { path, ...(method !== '*' && { methods: [method] as RouteMethods }) } };
}

/** The names of parameters do not tell patterns apart. */
function keyOf(method: string, pattern: string): string {
  return `${method} ${pattern.replaceAll(/\/:[A-Za-z_]\w*/g, '/:')}`;
}

/** None of a route that takes some of the requests only: the others are still the rule's. */
function keysOf({ match }: Route): string[] {
  if (listPredicates(match).length > 0) return [];
  return (match.methods ?? routeMethods).map((method) => keyOf(method, match.path));
}

function decode(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}
