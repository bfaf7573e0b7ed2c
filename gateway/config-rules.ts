/** What a JSON Schema cannot say about a configuration: rules between values, and values that would do harm. */
import { isIP } from 'node:net';
import type { AuthorizeOptions } from '../policies/authorize.ts';
import { findDurationMistakes } from '../policies/duration-check.ts';
import { fieldResilienceProperties } from '../policies/field-resilience.ts';
import { findLimitMistakes, type RateLimitRule } from '../policies/rate-limit-rule.ts';
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import { findUnaddressed } from '../subgraphs/discovery/discovery-access.ts';
import { findHealthMistakes } from '../subgraphs/health-settings.ts';
import { findBalancingMistakes } from '../subgraphs/load-balancing-options.ts';
import { findRedisMistakes } from '../subgraphs/redis-connection.ts';
import { findAuthenticationMistakes, findViewerMistakes } from './authentication-rules.ts';
import { GatewayConfig } from './config-schema.ts';
import { findEdgeConfigMistakes } from './graphql-edge-schema.ts';
import { isLoopback } from './loopback.ts';

const healthPaths: ReadonlySet<string> = new Set([
  '/health',
  '/health/live',
  '/health/ready',
  '/healthcheck',
  '/readiness',
]);

/** Everything that is wrong with a configuration which fits the schema. */
export function findRuleMistakes(config: GatewayConfig): Mistake[] {
  return [
    ...checkAdmin(config),
    ...checkPorts(config),
    ...checkStore(config),
    ...checkCache(config),
    ...checkAuthentication(config),
    ...checkRateLimits(config),
    ...checkServices(config),
    ...checkFields(config),
    ...findEdgeConfigMistakes(config),
    ...checkNetworks(config),
    ...checkDiscovery(config),
    ...findDurationMistakes(GatewayConfig, config),
  ];
}

function checkAdmin(config: GatewayConfig): Mistake[] {
  const tokens = config.admin?.tokens ?? [];
  const host = config.admin?.host;
  return [
    ...(host !== undefined && !isLoopback(host) && tokens.length === 0
      ? [
          {
            path: ['admin', 'host'],
            message: `${host} is not a loopback address: without \`admin.tokens\` anyone could register services`,
          },
        ]
      : []),
    ...findDuplicates(tokens, ['admin', 'tokens'], 'name'),
    ...findDuplicates(tokens, ['admin', 'tokens'], 'sha256'),
    ...tokens.flatMap((token, index) => {
      const named = token.services ?? [];
      if (token.role === 'team' && named.length === 0)
        return [{ path: ['admin', 'tokens', index], message: 'a `team` token needs `services`: those it may change' }];
      if (token.role !== 'team' && named.length > 0)
        return [
          {
            path: ['admin', 'tokens', index, 'services'],
            message: `\`services\` restricts \`team\` tokens only; this one is \`${token.role}\``,
          },
        ];
      return [];
    }),
  ];
}

function checkPorts(config: GatewayConfig): Mistake[] {
  const port = config.listen?.port ?? 4000;
  const adminPort = config.admin?.port ?? 4001;
  const samePort: Mistake[] =
    port === adminPort && port !== 0
      ? [
          {
            path: config.admin?.port === undefined ? ['listen', 'port'] : ['admin', 'port'],
            message: `the public and the admin port are both ${port}`,
          },
        ]
      : [];
  const path = config.graphql?.path;
  return path !== undefined && healthPaths.has(path)
    ? [...samePort, { path: ['graphql', 'path'], message: `${path} is taken by the health checks` }]
    : samePort;
}

function checkStore({ store }: GatewayConfig): Mistake[] {
  if (typeof store !== 'object') return [];
  return findRedisMistakes(store.redis).map((message) => ({ path: ['store', 'redis'], message }));
}

function checkCache({ cache, redis, store }: GatewayConfig): Mistake[] {
  const hasRedis = redis !== undefined || typeof store === 'object' || store?.startsWith('redis') === true;
  return cache?.store === 'redis' && !hasRedis
    ? [{ path: ['cache', 'store'], message: 'there is no Redis: set `redis`, or a `store` in Redis' }]
    : [];
}

function checkAuthentication(config: GatewayConfig): Mistake[] {
  const { authentication = {} } = config;
  const { jwt = [], apiKeys = [] } = authentication;
  return [
    ...findDuplicates(jwt, ['authentication', 'jwt'], 'issuer'),
    ...findDuplicates(apiKeys, ['authentication', 'apiKeys'], 'name'),
    ...findDuplicates(apiKeys, ['authentication', 'apiKeys'], 'sha256'),
    ...findAuthenticationMistakes(authentication),
    ...findViewerMistakes(config.viewer ?? {}),
    ...(['revocation', 'managedApiKeys'] as const).flatMap((name) =>
      authentication[name] && config.redis === undefined && !isRedisStore(config.store)
        ? [{ path: ['authentication', name], message: 'needs `redis`, or a `store` in Redis' }]
        : [],
    ),
  ];
}

function isRedisStore(store: GatewayConfig['store']): boolean {
  return typeof store === 'object' || /^rediss?:/.test(store ?? '');
}

/** Rules with one name share one count, so they must agree on the numbers. */
function checkRateLimits(config: GatewayConfig): Mistake[] {
  const seen = new Map<string, RateLimitRule>();
  return listRateLimits(config).flatMap(({ rule, path }) => {
    const own = findLimitMistakes(rule).map((mistake) => ({ ...mistake, path: [...path, ...mistake.path] }));
    if (own.length > 0) return own;
    const first = seen.get(rule.name);
    if (first === undefined) {
      seen.set(rule.name, rule);
      return [];
    }
    return describeLimit(first) === describeLimit(rule)
      ? []
      : [
          {
            path,
            message: `two rate limits are called \`${rule.name}\`, and share one count, but differ: ${describeLimit(first)}; ${describeLimit(rule)}`,
          },
        ];
  });
}

function listRateLimits(config: GatewayConfig): { rule: RateLimitRule; path: ValuePath }[] {
  const global = (config.policies?.rateLimit ?? []).map((rule, index) => ({
    rule,
    path: ['policies', 'rateLimit', index],
  }));
  const ofRoutes = Object.entries(config.services ?? {}).flatMap(([name, service]) =>
    (service.routes ?? []).flatMap((route, index) =>
      (route.rateLimit ?? []).map((rule, position) => ({
        rule,
        path: ['services', name, 'routes', index, 'rateLimit', position],
      })),
    ),
  );
  const ofFields = Object.entries(config.fields ?? {}).flatMap(([name, policy]) =>
    (policy.rateLimit ?? []).map((rule, index) => ({ rule, path: ['fields', name, 'rateLimit', index] })),
  );
  return [...global, ...ofRoutes, ...ofFields];
}

function describeLimit(rule: RateLimitRule): string {
  const { limit, algorithm = 'gcra', window, count = 'requests', key = 'viewer', onStoreError = 'local' } = rule;
  const quota = window === undefined ? `${limit} at once` : `${limit} per ${window}`;
  const kind = `${algorithm === 'gcra' ? '' : `, ${algorithm}`}${count === 'requests' ? '' : `, by ${count}`}`;
  const more = [rule.queue, rule.localShare, rule.lease].map((part) => (part ? `, ${JSON.stringify(part)}` : ''));
  const keys = typeof key === 'string' ? key : key.join(' and ');
  return `${quota}${kind}, burst ${rule.burst ?? limit}, by ${keys}, ${onStoreError}${more.join('')}`;
}

function checkServices(config: GatewayConfig): Mistake[] {
  return Object.entries(config.services ?? {}).flatMap(([name, service]) => [
    ...findDuplicates(service.instances ?? [], ['services', name, 'instances'], 'id'),
    ...findDuplicates(service.instances ?? [], ['services', name, 'instances'], 'url'),
    ...findBalancingMistakes(service.loadBalancing).map((mistake) => ({
      path: ['services', name, ...mistake.path.slice(1).split('/')],
      message: mistake.message,
    })),
    ...findHealthMistakes(service).map(({ path, message }) => ({ path: ['services', name, ...path], message })),
    ...(service.routes ?? []).flatMap((route, index) =>
      checkAuthorize(route.authorize, route.public, ['services', name, 'routes', index]),
    ),
  ]);
}

function checkFields(config: GatewayConfig): Mistake[] {
  return Object.entries(config.fields ?? {}).flatMap(([name, policy]) => [
    ...checkFieldResilience(name, policy),
    ...checkAuthorize(policy.authorize, policy.public, ['fields', name]),
    ...(policy.public === true && !/^(Query|Mutation|Subscription)\./.test(name)
      ? [
          {
            path: ['fields', name, 'public'],
            message: 'only fields of Query, Mutation and Subscription can be public; what is below them follows',
          },
        ]
      : []),
  ]);
}

/** What a service answers in one piece with other fields cannot be late by itself, and mutations run one after the other. */
function checkFieldResilience(name: string, policy: object): Mistake[] {
  if (name.startsWith('Query.')) return [];
  return Object.keys(fieldResilienceProperties)
    .filter((key) => key in policy)
    .map((key) => ({ path: ['fields', name, key], message: 'only fields of Query can have this' }));
}

/** An empty requirement looks like protection and is none. */
function checkAuthorize(
  authorize: AuthorizeOptions | undefined,
  open: boolean | undefined,
  path: ValuePath,
): Mistake[] {
  if (authorize === undefined) return [];
  const asks = authorize.scopes !== undefined || authorize.anyScopes !== undefined;
  if (asks && authorize.authenticated === false)
    return [{ path: [...path, 'authorize', 'authenticated'], message: 'scopes need a viewer: this cannot be false' }];
  if (!asks && authorize.authenticated !== true)
    return [{ path: [...path, 'authorize'], message: 'asks for nothing: set `authenticated: true` or `scopes`' }];
  return open === true
    ? [{ path: [...path, 'public'], message: '`public` and `authorize` contradict each other' }]
    : [];
}

function checkDiscovery(config: GatewayConfig): Mistake[] {
  const { discovery = {}, services = {} } = config;
  const servers = discovery.dns?.servers ?? [];
  return [
    ...servers.flatMap((server, index) =>
      isServer(server)
        ? []
        : [
            {
              path: ['discovery', 'dns', 'servers', index],
              message: `expected an address such as 10.0.0.2 or 10.0.0.2:8600, got ${JSON.stringify(server)}`,
            },
          ],
    ),
    ...(discovery.consul?.token !== undefined && discovery.consul.tokenFile !== undefined
      ? [{ path: ['discovery', 'consul', 'tokenFile'], message: '`token` and `tokenFile` contradict each other' }]
      : []),
    ...(['etcd', 'eureka'] as const).flatMap((name) =>
      discovery[name]?.password !== undefined && discovery[name].username === undefined
        ? [{ path: ['discovery', name, 'password'], message: 'a password needs a `username`' }]
        : [],
    ),
    ...Object.entries(services).flatMap(([name, service]) => [
      ...findUnaddressed(service.discovery, discovery).map(({ path, message }) => ({
        path: ['services', name, ...path.split('/').slice(1)],
        message,
      })),
      ...(service.discovery?.dns !== undefined &&
      service.discovery.dns.type !== 'SRV' &&
      service.discovery.dns.port === undefined
        ? [
            {
              path: ['services', name, 'discovery', 'dns'],
              message: 'A and AAAA records have no port: say `port`, or `type: SRV`',
            },
          ]
        : []),
    ]),
  ];
}

/** An address, with a port or without; that of IPv6 in brackets where there is a port. */
function isServer(text: string): boolean {
  const withPort = /^(?:\[(?<ipv6>[^\]]+)\]|(?<ipv4>[0-9.]+)):(?<port>\d{1,5})$/.exec(text)?.groups;
  if (withPort === undefined) return isIP(text.replace(/^\[(.*)\]$/, '$1')) > 0;
  return isIP(withPort['ipv6'] ?? withPort['ipv4'] ?? '') > 0 && Number(withPort['port']) <= 65_535;
}

function checkNetworks(config: GatewayConfig): Mistake[] {
  return (config.trustedProxies ?? []).flatMap((network, index) =>
    isNetwork(network)
      ? []
      : [
          {
            path: ['trustedProxies', index],
            message: `expected an address or a network such as 10.0.0.0/8, got ${JSON.stringify(network)}`,
          },
        ],
  );
}

function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

/** The second and later entries of a list that have a key's value again. */
function findDuplicates<Entry extends object>(
  entries: readonly Entry[],
  path: ValuePath,
  key: keyof Entry & string,
): Mistake[] {
  const seen = new Map<unknown, number>();
  return entries.flatMap((entry, index) => {
    const value = entry[key];
    const first = value === undefined ? undefined : seen.get(value);
    if (value !== undefined && first === undefined) seen.set(value, index);
    return first === undefined
      ? []
      : [{ path: [...path, index, key], message: `the same \`${key}\` as entry ${first} of the list` }];
  });
}
