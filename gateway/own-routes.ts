/**
 * The routes that the gateway answers itself, with all that holds for them worked out: a table beside that of the services.
 * What stands for certain paths comes before routes of services, since an operator wrote it; folders come after them all.
 */
import createRouter, { type HTTPMethod } from 'find-my-way';
import { compileRules } from '../policies/rate-limit-rule.ts';
import { buildRequirement } from '../policies/requirement.ts';
import type { Part } from './aggregate-part.ts';
import type { Settings } from './config.ts';
import { buildRouteEdge, type EdgePolicies } from './edge-policies.ts';
import type { BoundRoute } from './graph-route.ts';
import type { OwnExchange } from './own-answer.ts';
import { type OwnRouteOptions, pickOwnRouteOptions } from './own-route-options.ts';
import type { RouteGate } from './route-gate.ts';

/** What answers at a route of the gateway's own, as the configuration calls it. */
export type OwnKind = 'rest' | 'aggregate' | 'openapi' | 'static';

/**
 * What became of a request that its route answered, where the status alone does not say: `partial` lacks something,
 * `fallback` is the page that stands for a path that is no file, `failed` everything that is no success.
 */
export type OwnOutcome = 'whole' | 'partial' | 'range' | 'not-modified' | 'fallback' | 'redirect' | 'failed';

/** What a request must pass. */
export interface OwnGate extends RouteGate {
  readonly kind: OwnKind;
  /** What the route says itself. */
  readonly said: OwnRouteOptions;
  readonly edge: EdgePolicies;
  readonly priority: OwnRouteOptions['priority'];
}

export interface OwnRoute {
  readonly gate: OwnGate;
  readonly methods: readonly HTTPMethod[];
  readonly path: string;
  /** Of an aggregate. */
  readonly parts?: readonly Part[];
  /** Of REST from the graph. */
  readonly bound?: BoundRoute;
  answer(exchange: OwnExchange): Promise<OwnOutcome> | OwnOutcome;
}

export type OwnMatch =
  | { readonly kind: 'found'; readonly route: OwnRoute; readonly params: OwnExchange['params'] }
  | { readonly kind: 'wrong-method'; readonly route: OwnRoute; readonly allow: readonly string[] };

export interface OwnRoutes {
  readonly all: readonly OwnRoute[];
  /** A route for certain paths. */
  find(method: string, path: string): OwnMatch | null;
  /** A folder. */
  findFolder(method: string, path: string): OwnMatch | null;
}

/** What of the settings holds for all of them. */
export type GateSettings = Pick<Settings, 'edge' | 'rateLimit' | 'policies' | 'authentication'>;

export interface GateOptions {
  readonly kind: OwnKind;
  readonly methods: readonly HTTPMethod[];
  readonly path: string;
  readonly options: OwnRouteOptions;
  /** Which service rules for requests are about; none where the gateway asks several, or nobody. */
  readonly service?: string;
}

/** Works out what holds at a route: what it says itself, and what the gateway says for all routes. */
export function buildOwnGate(
  { kind, methods, path, options, service = '' }: GateOptions,
  settings: GateSettings,
): OwnGate {
  const isPiped = isPipedKind(kind);
  const { edge, rateLimit, policies, authentication } = settings;
  const kinds = pickOwnRouteOptions(options);
  // Access is one kind: whoever says `public` puts the gateway's `authorize` aside, and the reverse.
  const saysAccess = kinds.public !== undefined || kinds.authorize !== undefined;
  const authorize = saysAccess || isPiped ? kinds.authorize : policies.authorize;
  const route = { match: { path, methods: methods as ('GET' | 'POST')[] }, ...kinds };
  return {
    kind,
    said: kinds,
    label: `${methods.filter((method) => method !== 'HEAD').join(',')} ${path}`,
    edge: buildRouteEdge(edge, service, {}, route),
    requirement: authorize === undefined ? null : buildRequirement(authorize),
    needsViewer: !isPiped && authentication.required && kinds.public !== true,
    rules: compileRules([...(isPiped ? [] : rateLimit), ...(kinds.rateLimit ?? [])]),
    cost: kinds.cost ?? 1,
    priority: kinds.priority ?? policies.priority,
  };
}

/** Whether limits, authorization and the need for a viewer are the GraphQL pipeline's, so that none is asked twice. */
export function isPipedKind(kind: OwnKind): boolean {
  return kind === 'rest';
}

/** Builds the table. Null where there is nothing: then no request asks. */
export function buildOwnRoutes(exact: readonly OwnRoute[], folders: readonly OwnRoute[]): OwnRoutes | null {
  if (exact.length === 0 && folders.length === 0) return null;
  const router = createRouter({ caseSensitive: true, ignoreTrailingSlash: false, maxParamLength: 2_048 });
  const neverCalled = () => {};
  for (const route of exact) router.on([...route.methods], escapeColons(route.path), neverCalled, route);
  const methods = [...new Set(exact.flatMap((route) => route.methods))];
  const bySpecificity = folders.toSorted((a, b) => b.path.length - a.path.length);
  return {
    all: [...exact, ...folders],
    find(method, path) {
      const found = methods.includes(method as HTTPMethod) ? router.find(method as HTTPMethod, path) : null;
      if (found !== null) return { kind: 'found', route: found.store as OwnRoute, params: readParams(found.params) };
      const others = methods.flatMap((other) => {
        const match = router.find(other, path);
        return match === null ? [] : [{ other, route: match.store as OwnRoute }];
      });
      const [first] = others;
      return first === undefined
        ? null
        : { kind: 'wrong-method', route: first.route, allow: others.map(({ other }) => other) };
    },
    findFolder(method, path) {
      const route = bySpecificity.find((folder) => isBelow(path, folder.path));
      if (route === undefined) return null;
      return route.methods.includes(method as HTTPMethod)
        ? { kind: 'found', route, params: {} }
        : { kind: 'wrong-method', route, allow: route.methods };
    },
  };
}

/** `/app/*` is for `/app` as well, which leads to `/app/`. */
function isBelow(path: string, pattern: string): boolean {
  const prefix = pattern.slice(0, -1);
  return path.startsWith(prefix) || path === prefix.slice(0, -1);
}

function readParams(params: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, value ?? '']));
}

/** A colon inside a segment (`/items:all`) is meant as it stands; the router wants it doubled. */
function escapeColons(path: string): string {
  return path.replaceAll(/(?<=[^/]):/g, '::');
}
