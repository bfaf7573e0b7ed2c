/**
 * The routing table of the REST door: built once per snapshot, asked once per request. Everything that a route decides
 * (limits, requirements, rewriting) is worked out here, so that a request only reads it.
 */
import createRouter, { type HTTPMethod } from 'find-my-way';
import { buildHttpCacheRule, type HttpCacheRule } from '../policies/cache-options.ts';
import type { EdgeOptions } from '../policies/edge-options.ts';
import { type CompiledRule, compileRules, type RateLimitRule } from '../policies/rate-limit-rule.ts';
import { buildRequirement, type Requirement } from '../policies/requirement.ts';
import { parseDurationMs, parseSizeBytes } from '../policies/units.ts';
import type { Route, ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { Service, Snapshot } from '../subgraphs/snapshot.ts';
import { buildCallbackEdge } from './callback-route.ts';
import { buildRouteEdge, type EdgePolicies } from './edge-policies.ts';

export interface RouteTarget {
  /** Methods and pattern, e.g. `GET,POST /api/orders/*`: the name in logs, metrics and the admin API. */
  readonly label: string;
  readonly service: string;
  readonly route: Route;
  readonly timeoutMs: number | undefined;
  readonly maxBodyBytes: number;
  /** Another service that is asked when this one cannot answer, and agrees to it. */
  readonly fallbackService: string | null;
  readonly requirement: Requirement | null;
  readonly needsViewer: boolean;
  readonly rules: readonly CompiledRule[];
  /** What a request takes of limits that count cost. */
  readonly cost: number;
  /** What of its answers is kept; null where nothing of the whole service is. */
  readonly cache: HttpCacheRule | null;
  /** What holds for the heads of its messages. */
  readonly edge: EdgePolicies;
  /** The path at the service, of the path as it came. */
  readonly rewrite: (path: string) => string;
}

export interface RouteTableOptions {
  readonly maxBodyBytes: number;
  /** Whether authentication is required where a route does not say `public`. */
  readonly authenticationRequired: boolean;
  /** Rules for every request, asked before those of the route. */
  readonly rateLimit: readonly RateLimitRule[];
  /** What holds for heads of messages where services and routes say nothing else. */
  readonly edge?: EdgeOptions;
}

export type RouteMatch =
  | { readonly kind: 'found'; readonly target: RouteTarget }
  | { readonly kind: 'wrong-method'; readonly allow: readonly string[] }
  | { readonly kind: 'none' };

export interface RouteTable {
  /** Every route, in the order of services and definitions. */
  readonly targets: readonly RouteTarget[];
  find(method: string, path: string, host: string): RouteMatch;
}

const allMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const satisfies HTTPMethod[];

/** Builds the table. Two routes for the same requests cannot meet here: the registry refuses the second one. */
export function buildRouteTable(snapshot: Snapshot, options: RouteTableOptions): RouteTable {
  const router = createRouter({ caseSensitive: true, ignoreTrailingSlash: false, maxParamLength: 2_048 });
  const targets: RouteTarget[] = [];
  const neverCalled = () => {};
  for (const service of snapshot.services) {
    for (const route of service.definition.routes ?? []) {
      const target = buildTarget(service, route, findFallback(snapshot, service.name, route), options);
      const constraints = route.match.host === undefined ? {} : { host: route.match.host.toLowerCase() };
      router.on(routeMethods(route), escapeColons(route.match.path), { constraints }, neverCalled, target);
      targets.push(target);
    }
  }
  const allowedMethods = (path: string, host: string) =>
    allMethods.filter((method) => router.find(method, path, { host }) !== null);
  return {
    targets,
    find(method, path, host) {
      const authority = host.toLowerCase();
      const found = isRoutable(method) ? router.find(method, path, { host: authority }) : null;
      if (found !== null) return { kind: 'found', target: found.store as RouteTarget };
      const allow = allowedMethods(path, authority);
      return allow.length > 0 ? { kind: 'wrong-method', allow } : { kind: 'none' };
    },
  };
}

/** A colon inside a segment (`/items:all`) is meant as it stands; the router wants it doubled. */
function escapeColons(path: string): string {
  return path.replaceAll(/(?<=[^/]):/g, '::');
}

function isRoutable(method: string): method is (typeof allMethods)[number] {
  return (allMethods as readonly string[]).includes(method);
}

/** GET brings HEAD with it (RFC 9110 section 9.3.2). */
function routeMethods(route: Route): HTTPMethod[] {
  const methods: readonly HTTPMethod[] = route.match.methods ?? allMethods;
  return methods.includes('GET') && !methods.includes('HEAD') ? [...methods, 'HEAD'] : [...methods];
}

/** A team may name any service; only what that one's own team agrees to is done. */
function findFallback({ services }: Snapshot, service: string, { fallback }: Route): string | null {
  const wanted = services.find(({ name }) => name === fallback?.service);
  return wanted?.definition.fallbackFor?.includes(service) === true ? wanted.name : null;
}

function buildTarget(
  { name: service, definition }: Service,
  route: Route,
  fallbackService: string | null,
  options: RouteTableOptions,
): RouteTarget {
  const { match, timeout, maxBodySize, authorize, rewrite } = route;
  const edge = buildRouteEdge(options.edge ?? {}, service, definition, route);
  return {
    label: `${match.methods?.join(',') ?? 'ANY'} ${match.host ?? ''}${match.path}`,
    service,
    route,
    timeoutMs: timeout === undefined ? undefined : parseDurationMs(timeout),
    maxBodyBytes: maxBodySize === undefined ? options.maxBodyBytes : parseSizeBytes(maxBodySize),
    fallbackService,
    requirement: authorize === undefined ? null : buildRequirement(authorize),
    needsViewer: options.authenticationRequired && route.public !== true,
    cost: route.cost ?? 1,
    rules: compileRules([...options.rateLimit, ...(route.rateLimit ?? [])]),
    cache: route.callback === true ? null : buildCacheRule(definition, route),
    edge: route.callback === true ? buildCallbackEdge(edge) : edge,
    rewrite: rewrite === undefined ? (path) => path : buildRewrite(match.path, rewrite),
  };
}

/** A route that keeps nothing may still change what another route of its service keeps. */
function buildCacheRule(definition: ServiceDefinition, { cache }: Route): HttpCacheRule | null {
  const rule = buildHttpCacheRule(cache, definition.cache);
  if (rule !== null) return rule;
  return definition.routes?.some((other) => other.cache !== undefined) === true
    ? buildHttpCacheRule({ enabled: false }, undefined)
    : null;
}

/**
 * Compiles a rewrite. Captures are taken from the raw path by position and not from the router, which decodes them: what
 * the client percent-encoded arrives at the service as it was sent.
 */
export function buildRewrite(pattern: string, rewrite: string): (path: string) => string {
  const segments = pattern.split('/');
  const positions = new Map<string, number>();
  for (const [position, segment] of segments.entries()) {
    if (segment.startsWith(':')) positions.set(segment.slice(1), position);
  }
  const wildcardAt = segments.at(-1) === '*' ? segments.length - 1 : -1;
  const parts = rewrite.split(/(:[A-Za-z0-9_]+|\*)/).map((part) => {
    if (part === '*') return (captured: readonly string[]) => captured.slice(wildcardAt).join('/');
    const position = part.startsWith(':') ? positions.get(part.slice(1)) : undefined;
    return position === undefined ? () => part : (captured: readonly string[]) => captured[position] ?? '';
  });
  return (path) => {
    const captured = path.split('/');
    return parts.map((part) => part(captured)).join('');
  };
}
