/**
 * The routing table of the REST door: built once per snapshot, asked once per request. Everything that a route decides
 * (limits, requirements, rewriting) is worked out here, so that a request only reads it.
 */
import { buildHttpCacheRule, type HttpCacheRule } from '../policies/cache-options.ts';
import type { EdgeOptions } from '../policies/edge-options.ts';
import { type CompiledRule, compileRules, type RateLimitRule } from '../policies/rate-limit-rule.ts';
import { buildRequirement, type Requirement } from '../policies/requirement.ts';
import { parseDurationMs, parseSizeBytes } from '../policies/units.ts';
import type { AcceptsVersion } from '../subgraphs/call.ts';
import { type GrpcSchema, GrpcSchemas } from '../subgraphs/grpc-schema.ts';
import { describePredicates } from '../subgraphs/route-match.ts';
import { rankMatch } from '../subgraphs/route-order.ts';
import { compileRegion, type FindZone } from '../subgraphs/route-region.ts';
import { buildRewrite } from '../subgraphs/route-rewrite.ts';
import { compileVersion } from '../subgraphs/route-split.ts';
import type { Route, ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { Service, Snapshot } from '../subgraphs/snapshot.ts';
import { buildCallbackEdge, withoutChanges } from './callback-route.ts';
import { buildRouteEdge, type EdgePolicies } from './edge-policies.ts';
import { buildMirrorRule, type MirrorRule } from './mirrors.ts';
import { announceRetirement, buildRetiredRoute, type RetiredRoute } from './retired-route.ts';
import { type AnswerRoute, buildRouteAnswer } from './route-answers.ts';
import { createRouteMatcher, type MatchedRoute, type RouteMatch } from './route-matcher.ts';
import { buildRouteMessages, type RouteMessages } from './route-messages.ts';
import type { RouteFacts } from './route-predicates.ts';
import { buildVariantChoice, type ChooseVariant } from './route-variants.ts';

export interface RouteTarget {
  /** Methods and pattern, e.g. `GET,POST /api/orders/*`: the name in logs, metrics and the admin API. */
  readonly label: string;
  readonly service: string;
  readonly route: Route;
  readonly timeoutMs: number | undefined;
  /** Infinity for none; undefined for the gateway's. */
  readonly idleTimeoutMs: number | undefined;
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
  /** Null for one that is not retired. */
  readonly retired: RetiredRoute | null;
  /** What holds for the heads of its messages. */
  readonly edge: EdgePolicies;
  /** What is done to its messages; null where they pass as they are. */
  readonly messages: RouteMessages | null;
  /** What its service says of gRPC; null where it speaks none. */
  readonly grpc: GrpcSchema | null;
  /** The path at the service, of the path as it came. */
  readonly rewrite: (path: string) => string;
  /** The answer without a service; null where one is asked. */
  readonly answer: AnswerRoute | null;
  /** Which variant takes a request; null where there is only one. */
  readonly choose: ChooseVariant | null;
  /** The other services that variants lead to. */
  readonly alsoAt: readonly string[];
  /** Who gets copies of requests; null for nobody. */
  readonly mirror: MirrorRule | null;
  readonly accepts: AcceptsVersion | undefined;
  /** Whose instances come first; null where nothing of a request says it. */
  readonly findZone: FindZone | null;
}

export interface RouteTableOptions {
  readonly maxBodyBytes: number;
  /** Whether authentication is required where a route does not say `public`. */
  readonly authenticationRequired: boolean;
  /** Rules for every request, asked before those of the route. */
  readonly rateLimit: readonly RateLimitRule[];
  /** What holds for heads of messages where services and routes say nothing else. */
  readonly edge?: EdgeOptions;
  readonly grpcSchemas?: GrpcSchemas;
}

export interface RouteTable {
  /** Every route, in the order of services and definitions. */
  readonly targets: readonly RouteTarget[];
  /** The same with what their order depends on. */
  readonly ranked: readonly MatchedRoute<RouteTarget>[];
  find(method: string, path: string, host: string, facts?: RouteFacts): RouteMatch<RouteTarget>;
}

/** Builds the table. Two routes for the same requests cannot meet here: the registry refuses the second one. */
export function buildRouteTable(snapshot: Snapshot, options: RouteTableOptions): RouteTable {
  const grpcSchemas = options.grpcSchemas ?? new GrpcSchemas();
  const routes = snapshot.services.flatMap((service) => {
    const labels = new Set<string>();
    return (service.definition.routes ?? []).map((route, index) => ({
      ranked: rankMatch(route.match, service.name, index),
      target: buildTarget(service, route, snapshot, options, labels, grpcSchemas),
    }));
  });
  return {
    targets: routes.map(({ target }) => target),
    ranked: routes,
    find: createRouteMatcher(routes).find,
  };
}

/** A team may name any service; only what that one's own team agrees to is done. */
function findFallback({ services }: Snapshot, service: string, { fallback }: Route): string | null {
  const wanted = services.find(({ name }) => name === fallback?.service);
  return wanted?.definition.fallbackFor?.includes(service) === true ? wanted.name : null;
}

function buildTarget(
  { name: service, definition }: Service,
  written: Route,
  snapshot: Snapshot,
  options: RouteTableOptions,
  labels: Set<string>,
  grpcSchemas: GrpcSchemas,
): RouteTarget {
  const { callback = false } = written;
  const route = callback ? withoutChanges(written) : written;
  const retired = buildRetiredRoute(snapshot, service, route, grpcSchemas);
  const plainEdge = buildRouteEdge(options.edge ?? {}, service, definition, route);
  const edge = callback ? buildCallbackEdge(plainEdge) : plainEdge;
  const { match, timeout, idleTimeout, maxBodySize, authorize, rewrite } = route;
  return {
    label: buildLabel(match, labels),
    service,
    route,
    timeoutMs: timeout === undefined ? undefined : parseDurationMs(timeout),
    // Of '0s', which is none.
    idleTimeoutMs: idleTimeout === undefined ? undefined : parseDurationMs(idleTimeout) || Number.POSITIVE_INFINITY,
    maxBodyBytes: maxBodySize === undefined ? options.maxBodyBytes : parseSizeBytes(maxBodySize),
    fallbackService: findFallback(snapshot, service, route),
    retired,
    requirement: authorize === undefined ? null : buildRequirement(authorize),
    needsViewer: options.authenticationRequired && route.public !== true,
    cost: route.cost ?? 1,
    rules: compileRules([...options.rateLimit, ...(route.rateLimit ?? [])]),
    // Calls of gRPC are POST, and caches know nothing of them.
    cache: callback || definition.grpc !== undefined ? null : buildCacheRule(definition, route),
    grpc: grpcSchemas.of(definition),
    edge: retired === null ? edge : announceRetirement(edge, retired),
    messages: buildRouteMessages(route),
    rewrite: rewrite === undefined ? (path) => path : buildRewrite(match, rewrite),
    answer: buildRouteAnswer(route),
    choose: buildChoice(snapshot, service, route),
    alsoAt: listOthers(snapshot, service, route),
    mirror: buildMirror(snapshot, service, route),
    findZone: route.region === undefined ? null : compileRegion(route.region),
    accepts: route.version === undefined ? undefined : compileVersion(route.version),
  };
}

function buildChoice({ services }: Snapshot, service: string, { match, split }: Route): ChooseVariant | null {
  if (split === undefined) return null;
  const mayUse = (wanted: string) => agrees(services, wanted, service);
  return buildVariantChoice(split, { service, salt: `${service} ${match.path}`, mayUse });
}

function listOthers({ services }: Snapshot, service: string, { split }: Route): readonly string[] {
  const named = (split?.variants ?? []).flatMap((variant) => variant.service ?? []);
  return [...new Set(named)].filter((name) => name !== service && agrees(services, name, service));
}

function buildMirror({ services }: Snapshot, service: string, { mirror }: Route): MirrorRule | null {
  if (mirror === undefined) return null;
  const isOwn = mirror.service === undefined || mirror.service === service;
  return isOwn || agrees(services, mirror.service ?? '', service) ? buildMirrorRule(mirror, service) : null;
}

/** Whether a service takes requests from routes of another one. */
function agrees(services: readonly Service[], wanted: string, service: string): boolean {
  return services.find(({ name }) => name === wanted)?.definition.trafficFrom?.includes(service) === true;
}

/** One name for each route of a service: names of predicates are in it, their values are not. */
function buildLabel(match: Route['match'], taken: Set<string>): string {
  const where = describePredicates(match);
  const label = `${match.methods?.join(',') ?? 'ANY'} ${match.host ?? ''}${match.path}${where === '' ? '' : ` [${where}]`}`;
  let unique = label;
  for (let number = 2; taken.has(unique); number++) unique = `${label} (${number})`;
  taken.add(unique);
  return unique;
}

/** A route that keeps nothing may still change what another route of its service keeps. */
function buildCacheRule(definition: ServiceDefinition, { cache }: Route): HttpCacheRule | null {
  const rule = buildHttpCacheRule(cache, definition.cache);
  if (rule !== null) return rule;
  return definition.routes?.some((other) => other.cache !== undefined) === true
    ? buildHttpCacheRule({ enabled: false }, undefined)
    : null;
}
