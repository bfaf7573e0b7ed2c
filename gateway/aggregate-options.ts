/** `aggregate` of the configuration: GETs to several services as one JSON object. */
import Type from 'typebox';
import { HttpCacheOptions } from '../policies/cache-options.ts';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { Duration, Size } from '../policies/units.ts';
import { serviceNamePattern } from '../subgraphs/service-definition.ts';
import { ownRouteProperties } from './own-route-options.ts';
import { parsePartPath, TemplateMistake } from './part-template.ts';
import { listParams } from './path-params.ts';

const closed = { additionalProperties: false } as const;
const partName = '^[A-Za-z][A-Za-z0-9_]{0,62}$';

export const AggregatePart = Type.Object(
  {
    service: Type.String({ pattern: serviceNamePattern, description: 'The service that is asked.' }),
    path: Type.String({
      pattern: '^/[!-~]*$',
      maxLength: 2_048,
      description:
        'Path and query at the service. `:id` stands for what the route captured, `{query.page}` for a parameter of the query, `{user.orderId}` for a value of another part, which is asked first. All are percent-encoded.',
      examples: ['/users/:id', '/orders?user=:id&page={query.page}'],
    }),
    optional: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Whether the answer goes out without it. Otherwise its failure is that of the whole.',
      }),
    ),
    fallback: Type.Optional(
      Type.Unsafe<unknown>({ description: 'What stands in for it when it fails: any JSON. It is optional then.' }),
    ),
    pick: Type.Optional(
      Type.String({
        pattern: '^(/([^~/]|~[01])*)*$',
        maxLength: 512,
        description: 'JSON Pointer (RFC 6901) of what is taken of its answer. Default: all of it.',
        examples: ['/data/items'],
      }),
    ),
    timeout: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description: 'Time for this part, retries included. Default: the request has.',
      }),
    ),
    maxSize: Type.Optional(
      Type.Unsafe<string>({ ...Size, default: '1mb', description: 'Largest answer of this part.' }),
    ),
  },
  closed,
);
export type AggregatePart = Type.Static<typeof AggregatePart>;

export const AggregateRoute = Type.Object(
  {
    parts: Type.Record(Type.String({ pattern: partName }), AggregatePart, {
      ...closed,
      minProperties: 1,
      maxProperties: 20,
      description: 'By the names that they have in the answer. What does not depend on another is asked at once.',
    }),
    cache: Type.Optional(HttpCacheOptions),
    ...ownRouteProperties,
  },
  closed,
);
export type AggregateRoute = Type.Static<typeof AggregateRoute>;

export const AggregateRoutes = Type.Record(
  Type.String({
    pattern: '^/([A-Za-z0-9._~-]+|:[A-Za-z_][A-Za-z0-9_]*)(/([A-Za-z0-9._~-]+|:[A-Za-z_][A-Za-z0-9_]*))*$',
  }),
  AggregateRoute,
  {
    ...closed,
    description:
      'GETs to several services, merged into one JSON object, by path. They come before routes of services. `cache` keeps the parts, each for as long as it says itself.',
  },
);

/** Templates that name what is not there, and parts that wait for each other. */
export function findAggregateMistakes(routes: Readonly<Record<string, AggregateRoute>>): Mistake[] {
  return Object.entries(routes).flatMap(([path, { parts }]) => {
    const params = listParams(path);
    const needs = new Map<string, readonly string[]>();
    const mistakes = Object.entries(parts).flatMap(([name, part]): Mistake[] => {
      try {
        needs.set(name, parsePartPath(part.path, { params, parts: new Set(Object.keys(parts)) }).needs);
        return [];
      } catch (error) {
        if (!(error instanceof TemplateMistake)) throw error;
        return [{ path: ['aggregate', path, 'parts', name, 'path'], message: error.message }];
      }
    });
    const circle = findCircle(needs);
    if (circle === null) return mistakes;
    const message = `parts that wait for each other: ${circle.join(' -> ')}`;
    return [...mistakes, { path: ['aggregate', path, 'parts', circle[0] ?? '', 'path'], message }];
  });
}

function findCircle(needs: ReadonlyMap<string, readonly string[]>): readonly string[] | null {
  const done = new Set<string>();
  const walk = (name: string, way: readonly string[]): readonly string[] | null => {
    if (way.includes(name)) return [...way.slice(way.indexOf(name)), name];
    if (done.has(name)) return null;
    for (const other of needs.get(name) ?? []) {
      const circle = walk(other, [...way, name]);
      if (circle !== null) return circle;
    }
    done.add(name);
    return null;
  };
  for (const name of needs.keys()) {
    const circle = walk(name, []);
    if (circle !== null) return circle;
  }
  return null;
}
