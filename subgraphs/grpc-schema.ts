/** What is known of a service that speaks gRPC: its methods, and the routes that lead to them. */
import { parseDurationMs, parseSizeBytes } from '../policies/units.ts';
import type { GrpcOptions } from './grpc-options.ts';
import { compileHttpTemplate, type HttpTemplate } from './http-template.ts';
import { type Descriptors, type HttpRule, type MethodType, parseDescriptors } from './protobuf/descriptors.ts';
import type { JsonStyle } from './protobuf/wire-to-json.ts';
import { listPredicates, routeMethods } from './route-match.ts';
import { compareRoutes, rankMatch } from './route-order.ts';
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
  /** The method behind a path of REST, whatever routes there are: of several, the one that a route would be for. */
  findBindingAt(method: string, path: string): GrpcBinding | undefined;
  /** The methods behind paths of REST. */
  readonly bindings: readonly GrpcBinding[];
}

/** What is looked at of a definition. */
export type GrpcDefinition = Pick<ServiceDefinition, 'grpc' | 'routes' | 'http2'>;
type RouteMethods = NonNullable<Route['match']['methods']>;

const nothingKnown: Descriptors = { messages: new Map(), enums: new Map(), services: [], methods: [] };

/** Reads what `findGrpcMistakes` finds nothing wrong with. */
export function buildGrpcSchema(options: GrpcOptions, written: readonly Route[] = []): GrpcSchema {
  const descriptors =
    options.descriptors === undefined ? null : parseDescriptors(decodeDescriptors(options.descriptors));
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
  const ranked = [...bindings.values()].toSorted((a, b) => compareRoutes(rankBinding(a), rankBinding(b)));
  return {
    descriptors,
    bindings: ranked,
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
    findBindingAt: (method, path) =>
      ranked.find(({ rule, template }) => takesMethod(rule, method) && template.fits(path)),
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

  /** {@link listRoutes}, remembered. */
  routesOf(definition: GrpcDefinition): readonly Route[] {
    return [...(definition.routes ?? []), ...(this.of(definition)?.routes ?? [])];
  }
}

/** The routes of a definition, with those that its gRPC brings. */
export function listRoutes(definition: GrpcDefinition): readonly Route[] {
  const { routes = [], grpc } = definition;
  return grpc === undefined ? routes : [...routes, ...buildGrpcSchema(grpc, routes).routes];
}

/** What a client streams has no place in one request of JSON. */
function buildBindings(method: MethodType): GrpcBinding[] {
  if (method.clientStreaming) return [];
  return method.rules.map((rule) => ({ method, rule, template: compileHttpTemplate(rule.path) }));
}

function withKey(binding: GrpcBinding): [string, GrpcBinding] {
  return [keyOf(binding.rule.method, binding.template.pattern), binding];
}

function rankBinding({ rule, template }: GrpcBinding) {
  return rankMatch(buildRoute(rule.method, template.pattern).match, '', 0);
}

function takesMethod({ method }: HttpRule, asked: string): boolean {
  return method === asked || method === '*' || (asked === 'HEAD' && method === 'GET');
}

function buildRoute(method: string, path: string): Route {
  return { match: { path, ...(method !== '*' && { methods: [method] as RouteMethods }) } };
}

/** The names of parameters do not tell patterns apart. */
export function keyOf(method: string, pattern: string): string {
  return `${method} ${pattern.replaceAll(/\/:[A-Za-z_]\w*/g, '/:')}`;
}

/** None of a route that takes some of the requests only: the others are still the rule's. */
function keysOf({ match }: Route): string[] {
  if (listPredicates(match).length > 0) return [];
  return (match.methods ?? routeMethods).map((method) => keyOf(method, match.path));
}

/** A descriptor set as bytes. */
export function decodeDescriptors(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}
