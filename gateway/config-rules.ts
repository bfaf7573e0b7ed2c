/** What a JSON Schema cannot say about a configuration: rules between values, and values that would do harm. */
import { isIP } from 'node:net';
import { findDurationMistakes } from '../policies/duration-check.ts';
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import { findUnaddressed } from '../subgraphs/discovery/discovery-access.ts';
import { findHealthMistakes } from '../subgraphs/health-settings.ts';
import { findBalancingMistakes } from '../subgraphs/load-balancing-options.ts';
import { findRedisMistakes } from '../subgraphs/redis-connection.ts';
import { findAuthenticationMistakes, findViewerMistakes } from './authentication-rules.ts';
import { findAuthorizationMistakes } from './authorization-rules.ts';
import { findCertificateMistakes } from './certificate-rules.ts';
import { GatewayConfig } from './config-schema.ts';
import { findEdgeConfigMistakes } from './graphql-edge-schema.ts';
import { isLoopback } from './loopback.ts';
import { findOwnMistakes } from './own-options.ts';
import { findPersistedMistakes } from './persisted-operation-rules.ts';
import { findPluginMistakes } from './plugin-rules.ts';
import { findPolicyMistakes } from './policy-levels.ts';
import { findContradictions } from './policy-rules.ts';

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
    ...findPersistedMistakes(config),
    ...checkAuthentication(config),
    ...findCertificateMistakes(config),
    ...findAuthorizationMistakes(config),
    ...checkPolicies(config),
    ...checkServices(config),
    ...checkFields(config),
    ...findEdgeConfigMistakes(config),
    ...checkNetworks(config),
    ...checkDiscovery(config),
    ...findPluginMistakes(config),
    ...findOwnMistakes(config),
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

function checkCache(config: GatewayConfig): Mistake[] {
  return config.cache?.store === 'redis' && !hasRedis(config)
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
    ...(hasRedis(config) ? [] : checkWithoutRedis(config)),
  ];
}

function hasRedis({ redis, store }: GatewayConfig): boolean {
  return redis !== undefined || typeof store === 'object' || /^rediss?:/.test(store ?? '');
}

function checkWithoutRedis({ authentication, store, workers = 1 }: GatewayConfig): Mistake[] {
  const at = (name: string, message: string): Mistake => ({ path: ['authentication', name], message });
  return [
    ...(authentication?.revocation !== undefined ? [at('revocation', 'needs `redis`, or a `store` in Redis')] : []),
    ...(authentication?.managedApiKeys === true && store === 'memory' && workers !== 1
      ? [at('managedApiKeys', 'several workers share no memory: needs a `store` in a file or in Redis, or `redis`')]
      : []),
  ];
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
    ...at(['services', name], findContradictions({ level: 'service', service: name }, service)),
    ...(service.routes ?? []).flatMap((route, index) =>
      at(
        ['services', name, 'routes', index],
        findContradictions({ level: 'route', service: name, path: route.match.path }, route),
      ),
    ),
  ]);
}

function checkFields({ fields = {}, types = {} }: GatewayConfig): Mistake[] {
  return [
    ...Object.entries(fields).flatMap(([field, policy]) =>
      at(['fields', field], findContradictions({ level: 'field', field }, policy)),
    ),
    ...Object.entries(types).flatMap(([type, policy]) =>
      at(['types', type], findContradictions({ level: 'type', type }, policy)),
    ),
  ];
}

/** Each against those before it, so that of two that contradict each other the later one is blamed. */
function checkPolicies({ policies = {} }: GatewayConfig): Mistake[] {
  const { named = {}, ...own } = policies;
  const all = Object.entries(named).map(([name, definition]) => ({ name, definition }));
  return [
    ...at(['policies'], findContradictions({ level: 'gateway' }, own)),
    ...all.flatMap(({ name, definition }, index) =>
      at(['policies', 'named', name], findPolicyMistakes(name, definition, all.slice(0, index))),
    ),
  ];
}

function at(path: ValuePath, mistakes: readonly Mistake[]): Mistake[] {
  return mistakes.map((mistake) => ({ ...mistake, path: [...path, ...mistake.path] }));
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
