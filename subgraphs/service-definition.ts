/**
 * What a team says about its service. One JSON Schema for the configuration file, the admin API and the types; the
 * gateway's reference pages are generated from it.
 */
import Type from 'typebox';
import { AuthorizeOptions } from '../policies/authorize-options.ts';
import { HttpCacheOptions } from '../policies/cache-options.ts';
import { StatusBreakerOptions } from '../policies/circuit-breaker-options.ts';
import { edgeProperties } from '../policies/edge-options.ts';
import { RouteFallback } from '../policies/field-resilience.ts';
import { PriorityOption } from '../policies/load-shedding.ts';
import { messageProperties } from '../policies/message-options.ts';
import { RateLimitRule } from '../policies/rate-limit-rule.ts';
import { resilienceProperties } from '../policies/resilience.ts';
import { RetireOptions } from '../policies/retirement.ts';
import { Duration, OneOf, Size } from '../policies/units.ts';
import { ServiceDiscovery } from './discovery/service-discovery.ts';
import { GraphqlEndpoint } from './graphql-endpoint.ts';
import { GrpcOptions } from './grpc-options.ts';
import { HealthOptions } from './health-settings.ts';
import { LoadBalancingOptions } from './load-balancing-options.ts';

import { RouteRedirect, RouteRespond } from './route-answer.ts';
import { RouteMatch } from './route-match.ts';
import { RouteMirror } from './route-mirror.ts';
import { RegionOptions } from './route-region.ts';
import { RouteSplit, VersionPattern } from './route-split.ts';

import { ServiceTlsOptions } from './service-tls-options.ts';

export const serviceNamePattern = '^[A-Za-z][A-Za-z0-9_-]{0,62}$';
export const instanceIdPattern = '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$';

const InstanceUrl = Type.String({
  pattern: '^https?://[^/?#@\\s]+/?$',
  maxLength: 2_048,
  description: 'Origin of the instance: scheme, host, port. No path, no credentials.',
  examples: ['http://10.0.0.5:8080'],
});

/** What every instance has, wherever it comes from. */
export const instanceProperties = {
  url: InstanceUrl,
  weight: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000,
      default: 1,
      description: 'Share of the load in relation to the others.',
    }),
  ),
  zone: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._-]{1,63}$', description: 'Where it runs.' })),
  version: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9._+-]{1,63}$',
      description: 'What it runs. A new version makes the gateway look at the schema again.',
    }),
  ),
};

/** An instance named in a definition. It has no lease: it stays until the definition changes. */
export const StaticInstance = Type.Object(
  {
    id: Type.Optional(Type.String({ pattern: instanceIdPattern, description: 'Default: host and port of the URL.' })),
    ...instanceProperties,
  },
  { additionalProperties: false },
);
export type StaticInstance = Type.Static<typeof StaticInstance>;

/** Body of `PUT /services/{name}/instances/{id}`: registers an instance, or renews its lease. */
export const InstanceRegistration = Type.Object(
  {
    ...instanceProperties,
    leaseSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 3_600,
        default: 30,
        description: 'The instance leaves the rotation when it is not renewed for so long.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type InstanceRegistration = Type.Static<typeof InstanceRegistration>;

/** One REST route: which requests, where they go, and what holds for them. */
export const Route = Type.Object(
  {
    match: RouteMatch,
    rewrite: Type.Optional(
      Type.String({
        pattern: '^/[!-~]*$',
        maxLength: 2_048,
        description:
          'Path at the service. `:name`, `:1` and `*` stand for what the match captured. Default: the path as it came.',
      }),
    ),
    callback: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'For callback paths of logins: path and query go on byte for byte, `Location` and `Set-Cookie` come back as they are, nothing is kept, and `Referrer-Policy: no-referrer` keeps the code from other pages.',
      }),
    ),
    redirect: Type.Optional(RouteRedirect),
    respond: Type.Optional(RouteRespond),
    split: Type.Optional(RouteSplit),
    version: Type.Optional(VersionPattern),
    mirror: Type.Optional(RouteMirror),
    timeout: resilienceProperties.timeout,
    circuitBreaker: Type.Optional(
      Type.Object(StatusBreakerOptions.properties, {
        additionalProperties: false,
        description:
          'A breaker for this route alone, beside those of the instances. It counts failures and statuses from 500 on; while it is open the route fails at once.',
      }),
    ),
    fallback: Type.Optional(RouteFallback),
    idempotencyKeys: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether a request with `Idempotency-Key` may be sent again, whatever its method: the service does what it gets twice under one key once. Bodies up to 64 KB are held for that.',
      }),
    ),
    maxBodySize: Type.Optional(
      Type.Unsafe<string>({ ...Size, description: 'Largest request body. Default: `limits.maxBodySize`.' }),
    ),
    idleTimeout: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description:
          'Time without progress in a body, in place of `limits.clientIdleTimeout` for what clients send, and of `limits.bodyIdleTimeout` (none for answers of type `text/event-stream`) for what the service does. `0s`: any.',
      }),
    ),
    preserveHost: Type.Optional(
      Type.Boolean({ default: false, description: "Whether the service sees the client's Host instead of its own." }),
    ),
    host: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9.-]+(:\\d+)?$',
        description: 'The Host that the service sees instead of its own.',
      }),
    ),
    public: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Open to anonymous requests also where authentication is required.',
      }),
    ),
    region: Type.Optional(RegionOptions),
    priority: Type.Optional(PriorityOption),
    authorize: Type.Optional(AuthorizeOptions),
    cost: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        default: 1,
        description: 'What a request takes of rate limits with `count: cost`.',
      }),
    ),
    rateLimit: Type.Optional(
      Type.Array(RateLimitRule, {
        description: 'Rules beside those of the gateway. One that has the name of a more general rule replaces it.',
      }),
    ),
    cache: Type.Optional(HttpCacheOptions),
    ...messageProperties,
    retire: Type.Optional(RetireOptions),
    ...edgeProperties,
  },
  { additionalProperties: false },
);
export type Route = Type.Static<typeof Route>;

export const schemaChangePolicies = ['any', 'no-breaking-in-use', 'no-breaking'] as const;
export type SchemaChangePolicy = (typeof schemaChangePolicies)[number];

/** What a route may say itself, or leave to its service. */
const { public: open, authorize, priority, cost, rateLimit, fallback } = Route.properties;
const { maxBodySize, idleTimeout, preserveHost, region } = Route.properties;
const routeDefaults = {
  public: open,
  authorize,
  priority,
  cost,
  rateLimit,
  fallback,
  maxBodySize,
  idleTimeout,
  preserveHost,
  region,
};

/** Body of `PUT /services/{name}` and value of `services.NAME` in the configuration. */
export const ServiceDefinition = Type.Object(
  {
    graphql: Type.Optional(GraphqlEndpoint),
    routes: Type.Optional(
      Type.Array(Route, { maxItems: 1_000, description: 'REST routes that lead to this service.' }),
    ),
    fallbackFor: Type.Optional(
      Type.Array(Type.String({ pattern: serviceNamePattern }), {
        maxItems: 100,
        description:
          'Services whose routes may name this one as their `fallback.service` or `retire.replacement.service`. Without this nobody can lead requests here but by routes of this service.',
      }),
    ),
    trafficFrom: Type.Optional(
      Type.Array(Type.String({ pattern: serviceNamePattern }), {
        maxItems: 100,
        description:
          'Services whose routes may lead requests here: by a variant of their `split`, or their `mirror`. Without this nobody can but by routes of this service.',
      }),
    ),
    instances: Type.Optional(
      Type.Array(StaticInstance, {
        maxItems: 1_000,
        description: 'Instances known beforehand. Others register themselves.',
      }),
    ),
    discovery: Type.Optional(ServiceDiscovery),
    loadBalancing: Type.Optional(LoadBalancingOptions),
    http2: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether the instances are spoken to in HTTP/2, many requests over each connection: where they choose it with https (ALPN), always with http (prior knowledge). Health checks as well.',
      }),
    ),
    tls: Type.Optional(ServiceTlsOptions),
    grpc: Type.Optional(GrpcOptions),
    health: Type.Optional(HealthOptions),
    cache: Type.Optional(HttpCacheOptions),
    schemaChanges: Type.Optional(
      OneOf(schemaChangePolicies, {
        description:
          'Changes of the schema that are accepted of this service, as in `registry.schemaChanges`. Default: what stands there.',
      }),
    ),
    ...routeDefaults,
    ...messageProperties,
    ...resilienceProperties,
    ...edgeProperties,
  },
  { additionalProperties: false },
);
export type ServiceDefinition = Type.Static<typeof ServiceDefinition>;
