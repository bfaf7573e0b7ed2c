/**
 * The configuration, as one JSON Schema: the source of the TypeScript types, of validation, and of the reference page
 * `docs/configuration.md`. Unknown keys are mistakes.
 */
import Type from 'typebox';
import { AuthenticationOptions } from '../policies/authentication-options.ts';
import { AuthorizationOptions } from '../policies/authorize-options.ts';
import { CacheStoreOptions } from '../policies/cache-options.ts';
import { edgeProperties } from '../policies/edge-options.ts';
import { LoadSheddingOptions } from '../policies/load-shedding.ts';
import { RateLimitRule } from '../policies/rate-limit-rule.ts';
import { resilienceProperties } from '../policies/resilience.ts';
import { Duration, OneOf, Percentage } from '../policies/units.ts';
import { ViewerOptions } from '../policies/viewer-token.ts';
import { DiscoveryOptions } from '../subgraphs/discovery/discovery-options.ts';
import { RedisOptions } from '../subgraphs/redis-connection.ts';
import { ServiceDefinition, schemaChangePolicies, serviceNamePattern } from '../subgraphs/service-definition.ts';
import { AdminToken } from './admin-token.ts';
import { FieldPolicy, TypePolicy } from './field-policies.ts';
import { GraphqlOptions } from './graphql-options.ts';
import { KnownHosts } from './known-hosts.ts';
import { LimitOptions } from './limit-options.ts';
import { ListenOptions, Port } from './listen-options.ts';
import { ownProperties } from './own-options.ts';
import { PluginList } from './plugin-options.ts';
import { gatewayPolicyProperties, NamedPolicies } from './policies-schema.ts';
import { ServerTiming } from './server-timing.ts';

const closed = { additionalProperties: false } as const;

export const GatewayConfig = Type.Object(
  {
    listen: Type.Optional(ListenOptions),
    admin: Type.Optional(
      Type.Object(
        {
          host: Type.Optional(
            Type.String({
              default: '127.0.0.1',
              description: 'Address of the admin port. Anything but loopback needs tokens. Environment: `ADMIN_HOST`.',
            }),
          ),
          port: Type.Optional(
            Type.Unsafe<number>({
              ...Port,
              default: 4001,
              description: 'The admin port; 0 takes a free one. Environment: `ADMIN_PORT`.',
            }),
          ),
          tokens: Type.Optional(
            Type.Array(AdminToken, {
              default: [],
              description: 'Bearer tokens. Without any, the admin port answers everyone on loopback.',
            }),
          ),
        },
        { ...closed, description: 'The admin port: registration, the graph, metrics.' },
      ),
    ),
    hosts: Type.Optional(KnownHosts),
    serverTiming: Type.Optional(ServerTiming),
    workers: Type.Optional(
      Type.Unsafe<number | 'auto'>({
        anyOf: [{ type: 'integer', minimum: 1, maximum: 256 }, { const: 'auto' }],
        default: 1,
        description:
          'Processes that answer requests. 1: this process alone. More, or `auto` for one per core: workers that share the public port, under a process that keeps the registry. Environment: `SELVAGE_WORKERS`.',
      }),
    ),
    store: Type.Optional(
      Type.Union(
        [
          Type.String({ pattern: '^(memory|file:.+|rediss?://.+)$' }),
          Type.Object(
            {
              redis: RedisOptions,
              copy: Type.Optional(
                Type.String({
                  minLength: 1,
                  description:
                    'Folder for a copy of the shared registry, for this gateway alone: what it starts with while Redis cannot be reached. Without one, a start waits for Redis.',
                }),
              ),
            },
            closed,
          ),
        ],
        {
          default: 'file:.selvage',
          description:
            'Where the registry lives: `memory`, `file:DIR`, or Redis, where any number of gateways share it: `redis://HOST:PORT`, or `{ redis: { ... } }`. Environment: `SELVAGE_STORE`.',
        },
      ),
    ),
    redis: Type.Optional(
      Type.String({
        pattern: '^rediss?://',
        description:
          'Redis for rate limits shared by several gateways. Default: that of `store`; without either they are counted in this process. Environment: `REDIS_URL`.',
      }),
    ),
    cache: Type.Optional(CacheStoreOptions),
    authentication: Type.Optional(AuthenticationOptions),
    authorization: Type.Optional(AuthorizationOptions),
    viewer: Type.Optional(ViewerOptions),
    policies: Type.Optional(
      Type.Object(
        {
          ...resilienceProperties,
          ...edgeProperties,
          ...gatewayPolicyProperties,
          deadline: Type.Optional(
            Type.Unsafe<string>({
              ...Duration,
              default: '30s',
              description: 'Time for a whole request, all attempts and services together.',
            }),
          ),
          rateLimit: Type.Optional(
            Type.Array(RateLimitRule, { default: [], description: 'Rules for every request of both doors.' }),
          ),
          rateLimitHeaders: Type.Optional(
            OneOf(['standard', 'legacy', 'both', 'none'], {
              default: 'standard',
              description:
                'What answers tell of the limits. `standard`: `RateLimit` and `RateLimit-Policy`. `legacy`: `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds from now) of the tightest rule.',
            }),
          ),
          named: Type.Optional(NamedPolicies),
        },
        { ...closed, description: 'Defaults for both doors. A service, route, type or field overrides them by name.' },
      ),
    ),
    services: Type.Optional(
      Type.Record(Type.String({ pattern: serviceNamePattern }), ServiceDefinition, {
        ...closed,
        description: 'Services known beforehand. Others register at run time.',
      }),
    ),
    ...ownProperties,
    plugins: Type.Optional(PluginList),
    fields: Type.Optional(
      Type.Record(Type.String({ pattern: '^[_A-Za-z][_0-9A-Za-z]*\\.[_A-Za-z][_0-9A-Za-z]*$' }), FieldPolicy, {
        ...closed,
        description: 'Policies of single fields, by `Type.field`.',
      }),
    ),
    types: Type.Optional(
      Type.Record(Type.String({ pattern: '^[_A-Za-z][_0-9A-Za-z]*$' }), TypePolicy, {
        ...closed,
        description:
          'Policies of types. `authorize` holds for the fields of the type and for fields that return it, `cost` and `cache` for what returns it, everything else for its fields.',
      }),
    ),
    graphql: Type.Optional(GraphqlOptions),
    limits: Type.Optional(LimitOptions),
    loadShedding: Type.Optional(LoadSheddingOptions),
    zone: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9._-]{1,63}$',
        description:
          'Where this gateway runs. Instances of the same `zone` get the calls as long as enough of them can take them. Environment: `SELVAGE_ZONE`.',
        examples: ['eu-1'],
      }),
    ),
    sessions: Type.Optional(
      Type.Object(
        {
          secrets: Type.Array(Type.String({ minLength: 32, maxLength: 1_024 }), {
            minItems: 1,
            maxItems: 10,
            description:
              'Secrets that sign the cookies of sticky sessions, the same at every gateway. The first one signs, all are believed: to replace one, put the new one in front, and remove the old one when its cookies have run out. Without any, sessions end with the process.',
          }),
        },
        { ...closed, description: 'Sessions of services with `loadBalancing.sticky`.' },
      ),
    ),
    trustedProxies: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        default: [],
        description: 'Addresses or networks (CIDR) whose X-Forwarded-* headers are believed.',
      }),
    ),
    registration: Type.Optional(
      Type.Object(
        {
          allow: Type.Optional(
            Type.Array(Type.String({ minLength: 1 }), {
              description:
                'Hosts (`*.svc.example`), addresses or networks (CIDR) that instances may have. Default: all but link-local and metadata addresses.',
            }),
          ),
        },
        { ...closed, description: 'What teams may register.' },
      ),
    ),
    discovery: Type.Optional(DiscoveryOptions),
    registry: Type.Optional(
      Type.Object(
        {
          schemaChanges: Type.Optional(
            OneOf(schemaChangePolicies, {
              default: 'any',
              description:
                'Changes of the public schema that are accepted. `any`: all that compose. `no-breaking-in-use`: no breaking change of what this gateway saw a client use within `usageWindow`. `no-breaking`: none at all. A service overrides it.',
            }),
          ),
          usageWindow: Type.Optional(
            Type.Unsafe<string>({
              ...Duration,
              default: '7d',
              description: 'How long a field counts as in use after it was asked for. A change needs a restart.',
            }),
          ),
          history: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 1_000,
              default: 100,
              description: 'Generations of the graph that are kept, to be looked at and rolled back to.',
            }),
          ),
          massExpiry: Type.Optional(
            Type.Object(
              {
                share: Type.Optional(
                  Type.Unsafe<string>({
                    ...Percentage,
                    default: '30%',
                    description:
                      'Share of all leases that must be overdue together. Then instances whose lease ran out stay, suspect, while they can be connected to. `100%` turns this off.',
                  }),
                ),
                minimum: Type.Optional(
                  Type.Integer({ minimum: 1, default: 10, description: 'Fewer overdue leases are never too many.' }),
                ),
                patience: Type.Optional(
                  Type.Unsafe<string>({
                    ...Duration,
                    default: '1m',
                    description: 'How long a suspect instance stays after its lease ran out.',
                  }),
                ),
              },
              { ...closed, description: 'When many leases run out at once: the network is broken, not the instances.' },
            ),
          ),
        },
        {
          ...closed,
          description: 'The registry: what may change, what is remembered, and when instances are given up.',
        },
      ),
    ),
    logging: Type.Optional(
      Type.Object(
        {
          level: Type.Optional(
            OneOf(['debug', 'info', 'warn', 'error', 'silent'], {
              default: 'info',
              description: 'Least severity that is logged. Environment: `LOG_LEVEL`.',
            }),
          ),
          access: Type.Optional(Type.Boolean({ default: true, description: 'One line per request.' })),
        },
        { ...closed, description: 'JSON lines on standard output.' },
      ),
    ),
    shutdown: Type.Optional(
      Type.Object(
        {
          delay: Type.Optional(
            Type.Unsafe<string>({
              ...Duration,
              default: '0s',
              description: 'Between becoming unready and refusing connections, for load balancers in front.',
            }),
          ),
          grace: Type.Optional(
            Type.Unsafe<string>({
              ...Duration,
              default: '30s',
              description: 'Time for requests in flight before they are cut.',
            }),
          ),
        },
        { ...closed, description: 'What happens at SIGTERM.' },
      ),
    ),
  },
  { ...closed, $id: 'selvage.config', title: 'Selvage configuration' },
);

/** What `selvage.config.ts` exports and `selvage.yaml` holds. Everything has a default. */
export type GatewayConfig = Type.Static<typeof GatewayConfig>;
