/** Routes of a service that speaks gRPC, and what they say to no effect there. */
import type { Mistake } from '../policies/schema-mistakes.ts';
import type { GrpcOptions } from './grpc-options.ts';
import { buildGrpcSchema, type GrpcSchema } from './grpc-schema.ts';
import { routeMethods } from './route-match.ts';
import { mayOverlap, parseRoutePattern } from './route-pattern.ts';
import type { Route } from './service-definition.ts';

/** About messages of HTTP, of which nothing is left when they are messages of gRPC. */
const aboutHttp = ['validate', 'transform', 'mirror', 'compression', 'idempotencyKeys', 'callback'] as const;
/** What stands in for an answer of REST is no message of a method. */
const ofCalls = [...aboutHttp, 'fallback'] as const;
/** The method has one path, whatever that of REST is. */
const ofTranscoded = [...aboutHttp, 'rewrite'] as const;

/** By paths below the definition. What routes inherit of these is passed over without a word: it is said for others as well. */
export function findGrpcRouteMistakes(grpc: GrpcOptions, routes: readonly Route[]): Mistake[] {
  // Descriptors may be large: they are read once more only where there is something to look at.
  if (routes.length === 0) return [];
  const schema = buildGrpcSchema(grpc, routes);
  return routes.flatMap((route, index) =>
    findMistakes(route, schema).map(({ path, message }) => ({ path: ['routes', index, ...path], message })),
  );
}

function findMistakes(route: Route, schema: GrpcSchema): Mistake[] {
  const { match } = route;
  const methods = match.methods ?? routeMethods;
  const transcoded = methods.filter((method) => schema.findBinding(method, match.path) !== undefined);
  const [method] = transcoded;
  const binding = method && schema.findBinding(method, match.path);
  const isCalled = schema.isMethodPath(match.path);
  const kinds = binding !== undefined ? ofTranscoded : isCalled ? ofCalls : [];
  const why = binding === undefined ? 'it is called by gRPC' : `${method} is the method ${binding.method.name} of gRPC`;
  return [
    ...kinds.filter((kind) => isSaid(route[kind])).map((kind) => refuse(kind, match.path, why)),
    ...(isSaid(route.cache) ? [refuse('cache', match.path, 'no answer of a service that speaks gRPC is kept')] : []),
    ...findReplacementMistakes(route, transcoded, schema),
  ];
}

/** Who says no says what holds anyway. */
function isSaid(value: unknown): boolean {
  const isOff = typeof value === 'object' && value !== null && 'enabled' in value && value.enabled === false;
  return value !== undefined && value !== false && !isOff;
}

function refuse(kind: string, path: string, why: string): Mistake {
  return { path: [kind], message: `has no effect at ${path}: ${why}` };
}

/** Within the service, clients of one method can be moved to another one only. */
function findReplacementMistakes({ retire }: Route, methods: readonly string[], schema: GrpcSchema): Mistake[] {
  const { service, rewrite } = retire?.replacement ?? {};
  if (service !== undefined || rewrite === undefined) return [];
  // Captures by number are none of a pattern's, and stand for anything as well.
  const target = parseRoutePattern(rewrite.replaceAll(/:(?=\d)/g, ':_'));
  const fits = (method: string) =>
    schema.bindings.some(
      ({ rule, template }) =>
        (rule.method === '*' || rule.method === method) && mayOverlap(target, parseRoutePattern(template.pattern)),
    );
  return methods
    .filter((method) => !fits(method === 'HEAD' ? 'GET' : method))
    .map((method) => ({
      path: ['retire', 'replacement', 'rewrite'],
      message: `leads to no method of gRPC: no rule of \`google.api.http\` has ${method} ${rewrite}`,
    }));
}
