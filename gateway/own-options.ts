/** What of the configuration is about routes that the gateway answers itself. */

import Type from 'typebox';
import type { Mistake } from '../policies/schema-mistakes.ts';
import { type AggregateRoute, AggregateRoutes, findAggregateMistakes } from './aggregate-options.ts';
import { findGraphRouteMistakes, type GraphRoute, GraphRoutes } from './graph-route-options.ts';
import { livePaths, readyPaths } from './health-paths.ts';
import { OpenapiOptions } from './openapi-options.ts';
import type { OwnRouteOptions } from './own-route-options.ts';
import { findContradictions } from './policy-rules.ts';
import { findStaticMistakes, type StaticFolder, StaticFolders } from './static-options.ts';

export const ownProperties = {
  static: Type.Optional(StaticFolders),
  aggregate: Type.Optional(AggregateRoutes),
  rest: Type.Optional(GraphRoutes),
  openapi: Type.Optional(OpenapiOptions),
};

/** As it is written. */
export interface OwnConfig {
  readonly static?: readonly StaticFolder[];
  readonly aggregate?: Readonly<Record<string, AggregateRoute>>;
  readonly rest?: Readonly<Record<string, GraphRoute>>;
  readonly openapi?: OpenapiOptions;
}

/** The same with every default. */
export interface OwnSettings {
  readonly static: readonly StaticFolder[];
  readonly aggregate: Readonly<Record<string, AggregateRoute>>;
  readonly rest: Readonly<Record<string, GraphRoute>>;
  /** Undefined: there is none at the public port. */
  readonly openapi: OpenapiOptions | undefined;
}

export function buildOwnSettings({ static: folders = [], aggregate = {}, rest = {}, openapi }: OwnConfig): OwnSettings {
  return { static: folders, aggregate, rest, openapi };
}

/** What no schema can say. */
export function findOwnMistakes(config: OwnConfig & { readonly graphql?: { readonly path?: string } }): Mistake[] {
  const { static: folders, aggregate, rest, openapi } = buildOwnSettings(config);
  return [
    ...findStaticMistakes(folders),
    ...findAggregateMistakes(aggregate),
    ...findGraphRouteMistakes(rest),
    ...findTwins(config),
    ...folders.flatMap((folder, index) => check(['static', index], folder, folder.path)),
    ...Object.entries(aggregate).flatMap(([path, route]) => check(['aggregate', path], route, path)),
    ...Object.entries(rest).flatMap(([key, route]) => check(['rest', key], route, key)),
    ...(openapi === undefined ? [] : check(['openapi'], openapi, openapi.path ?? '/openapi.json')),
  ];
}

function check(path: readonly (string | number)[], options: OwnRouteOptions, pattern: string): Mistake[] {
  return findContradictions({ level: 'route', service: '', path: pattern }, options).map((mistake) => ({
    ...mistake,
    path: [...path, ...mistake.path],
  }));
}

/** Two routes for the same requests, whatever their parameters are called; and what a door of its own answers. */
function findTwins(config: OwnConfig & { readonly graphql?: { readonly path?: string } }): Mistake[] {
  const { aggregate, rest, openapi } = buildOwnSettings(config);
  const taken = new Map<string, string>([[config.graphql?.path ?? '/graphql', 'the GraphQL door']]);
  for (const path of [...livePaths, ...readyPaths]) taken.set(path, 'the health checks');
  const routes = [
    ...Object.keys(rest).map((key) => ({
      at: ['rest', key],
      method: key.split(' ')[0] ?? '',
      path: key.split(' ')[1] ?? '',
    })),
    ...Object.keys(aggregate).map((path) => ({ at: ['aggregate', path], method: 'GET', path })),
    ...(openapi === undefined
      ? []
      : [{ at: ['openapi', 'path'], method: 'GET', path: openapi.path ?? '/openapi.json' }]),
  ];
  return routes.flatMap(({ at, method, path }) => {
    const shape = path.replaceAll(/\/:\w+/g, '/:');
    const before = taken.get(shape) ?? taken.get(`${method} ${shape}`);
    taken.set(`${method} ${shape}`, at.join('.'));
    return before === undefined ? [] : [{ path: at, message: `${path} is taken by ${before}` }];
  });
}
