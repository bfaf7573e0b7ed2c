/** From what a configuration file holds to what the gateway works with: checked, complete, and in numbers. */

import { availableParallelism } from 'node:os';
import { Compile } from 'typebox/compile';
import type { AuthenticationOptions } from '../policies/authentication-options.ts';
import type { AuthorizationOptions } from '../policies/authorize-options.ts';
import { type EdgeOptions, pickEdgeOptions } from '../policies/edge-options.ts';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import type { LoadSheddingOptions } from '../policies/load-shedding.ts';
import { buildOperationCache, type OperationCacheSettings } from '../policies/operation-cache-options.ts';
import type { NamedPolicy } from '../policies/policy-definition.ts';
import type { QueryLimitOptions } from '../policies/query-limits.ts';
import type { RateLimitHeaders } from '../policies/rate-limit-decision.ts';
import type { RateLimitRule } from '../policies/rate-limit-rule.ts';
import { type ResilienceOptions, resilienceProperties } from '../policies/resilience.ts';
import { findSchemaMistakes, formatPointer, type Mistake, type ValuePath } from '../policies/schema-mistakes.ts';
import { parseDurationMs } from '../policies/units.ts';
import type { ViewerOptions } from '../policies/viewer-token.ts';
import type { DiscoveryOptions } from '../subgraphs/discovery/discovery-options.ts';
import type { MassExpirySettings } from '../subgraphs/mass-expiry.ts';
import type { RedisOptions } from '../subgraphs/redis-connection.ts';
import type { SchemaChangePolicy, ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { AdminToken } from './admin-token.ts';
import type { ClientLimits } from './client-limits.ts';
import { buildLimits, buildMassExpiry, buildPersistedOperations, buildStore, wholeBytes } from './config-parts.ts';
import { findRuleMistakes } from './config-rules.ts';
import { GatewayConfig } from './config-schema.ts';
import type { GraphqlEdgeOptions } from './edge-policies.ts';
import { buildGraphqlEdgeOptions } from './graphql-edge-schema.ts';
import { buildListenSettings, type ListenSettings } from './listen-settings.ts';
import { buildOwnSettings, type OwnSettings } from './own-options.ts';
import type { GraphqlPluginEntry, PluginEntry } from './plugin-options.ts';
import type { ServerTiming } from './server-timing.ts';

const configurations = Compile(GatewayConfig);

/** What is said of one field, by `Type.field`. */
export type FieldPolicy = NonNullable<GatewayConfig['fields']>[string];

/** What is said of one type. */
export type TypePolicy = NonNullable<GatewayConfig['types']>[string];

/** What is said of the whole gateway, as it is written. */
export type GatewayPolicies = Omit<NonNullable<GatewayConfig['policies']>, 'deadline' | 'rateLimitHeaders' | 'named'>;

/** A configuration with every default applied: durations in milliseconds, sizes in bytes. */
export interface Settings {
  readonly listen: ListenSettings;
  readonly admin: { readonly host: string; readonly port: number; readonly tokens: readonly AdminToken[] };
  /** Processes that answer requests; 1 for this one alone. */
  readonly workers: number;
  readonly store:
    | { readonly kind: 'memory' }
    | { readonly kind: 'file'; readonly directory: string }
    | { readonly kind: 'redis'; readonly redis: RedisOptions; readonly copy?: string };
  readonly redisUrl?: string;
  /** Where both doors keep answers. */
  readonly cache: { readonly store: 'memory' | 'redis'; readonly maxBytes: number };
  readonly authentication: AuthenticationOptions & { readonly required: boolean };
  /** What roles give, and what policies stand for. */
  readonly authorization: AuthorizationOptions;
  /** What services are told of the viewer. */
  readonly viewer: ViewerOptions;
  /** Time for a whole request, all attempts and services together. */
  readonly deadlineMs: number;
  /** What the gateway says of all services, routes and fields; in the data plane with what named policies add. */
  readonly policies: GatewayPolicies;
  /** Policies of the configuration, by name and with their bindings. */
  readonly namedPolicies: readonly NamedPolicy[];
  /** Defaults that services override by name; `buildResilience` makes numbers of both. */
  readonly resilience: ResilienceOptions;
  /** Rules for every request of both doors. */
  readonly rateLimit: readonly RateLimitRule[];
  readonly rateLimitHeaders: RateLimitHeaders;
  /** What holds for heads of messages where services and routes say nothing else. */
  readonly edge: EdgeOptions;
  readonly services: Readonly<Record<string, ServiceDefinition>>;
  /** Routes that the gateway answers itself. */
  readonly own: OwnSettings;
  readonly plugins: readonly PluginEntry[];
  readonly fields: Readonly<Record<string, FieldPolicy>>;
  readonly types: Readonly<Record<string, TypePolicy>>;
  readonly graphql: {
    readonly path: string;
    readonly introspection: boolean | 'authorized';
    readonly graphiql: boolean;
    readonly maxBatchSize: number;
    readonly limits: QueryLimitOptions;
    readonly suggestions: boolean;
    readonly persistedOperations: PersistedOperationSettings;
    readonly subgraphErrors: 'pass' | 'mask';
    readonly cost: { readonly listSize: number; readonly slicingArguments: readonly string[] };
    readonly plugins: readonly GraphqlPluginEntry[];
    readonly engine: 'auto' | 'stitched';
    readonly shareSubgraphRequests: boolean;
    readonly shareOperations: boolean;
    readonly edge: GraphqlEdgeOptions;
    /** Null where answers are not kept. */
    readonly cache: OperationCacheSettings | null;
  };
  readonly limits: {
    readonly maxBodyBytes: number;
    readonly maxGraphqlBodyBytes: number;
    readonly maxSubgraphResponseBytes: number;
    readonly maxHeaderBytes: number;
    readonly headersTimeoutMs: number;
    readonly bodyIdleTimeoutMs: number;
    readonly maxUpgrades: number;
  } & ClientLimits;
  /** Hosts that are answered for; undefined: all. */
  readonly hosts?: readonly string[];
  readonly serverTiming: ServerTiming;
  /** Undefined: no load is shed. */
  readonly loadShedding?: LoadSheddingOptions;
  /** Where the gateway runs. */
  readonly zone?: string;
  readonly sessionSecrets: readonly string[];
  readonly trustedProxies: readonly string[];
  readonly registrationAllow?: readonly string[];
  readonly discovery: DiscoveryOptions;
  readonly registry: {
    readonly schemaChanges: SchemaChangePolicy;
    readonly usageWindowMs: number;
    readonly maxHistory: number;
  };
  readonly massExpiry: MassExpirySettings;
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'; readonly access: boolean };
  readonly shutdown: { readonly delayMs: number; readonly graceMs: number };
}

/** `graphql.persistedOperations` with every default. */
export interface PersistedOperationSettings {
  readonly mode: 'off' | 'log' | 'enforce';
  readonly source: string | undefined;
  readonly reloadMs: number;
  readonly copy: string | undefined;
  readonly allowArbitrary: readonly string[];
  readonly trustPersisted: boolean;
  readonly apq: boolean;
  readonly apqTtlMs: number;
  readonly apqMaxBytes: number;
}

/** Where a value of a configuration stands: `selvage.yaml:12:5`. Undefined where nobody knows. */
export type Locate = (path: ValuePath, atKey: boolean) => string | undefined;

/** Mistakes that were found before the configuration could be looked at as a whole. */
export interface ParseConfigOptions {
  readonly mistakes?: readonly Mistake[];
}

/**
 * Checks a configuration. Throws a BAD_REQUEST with all mistakes at once as reasons: where, what was expected, what was
 * got.
 */
export function parseConfig(
  value: unknown,
  locate: Locate = () => undefined,
  options: ParseConfigOptions = {},
): GatewayConfig {
  const mistakes = [...(options.mistakes ?? []), ...findMistakes(value, options.mistakes ?? [])];
  if (mistakes.length > 0) throw buildConfigError(mistakes, locate);
  return value as GatewayConfig;
}

/** The rules assume the schema, so they are asked only when it is met. A place is blamed once. */
function findMistakes(value: unknown, known: readonly Mistake[]): Mistake[] {
  const schemaMistakes = findSchemaMistakes(configurations, value);
  const found = schemaMistakes.length > 0 ? schemaMistakes : findRuleMistakes(value as GatewayConfig);
  const blamed = new Set(known.map(({ path }) => formatPath(path)));
  return found.filter(({ path }) => !blamed.has(formatPath(path)));
}

/** Mistakes as the error that carries them. */
export function buildConfigError(mistakes: readonly Mistake[], locate: Locate): GatewayError {
  const count = mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`;
  return new GatewayError('BAD_REQUEST', `The configuration has ${count}`, {
    reasons: mistakes.map((mistake): ErrorReason => {
      const where = [locate(mistake.path, mistake.atKey === true), formatPath(mistake.path)];
      return {
        message: [...where.filter((part) => part !== undefined && part !== ''), mistake.message].join(': '),
        path: formatPointer(mistake.path),
      };
    }),
  });
}

/** A path as people write it: `services.orders.routes[0].timeout`. */
export function formatPath(path: ValuePath): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    const plain = /^[A-Za-z_][\w-]*$/.test(key);
    if (!plain) return `${text}[${JSON.stringify(key)}]`;
    return text === '' ? key : `${text}.${key}`;
  }, '');
}

/** A checked configuration with every default applied. */
export function buildSettings(
  config: GatewayConfig,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Settings {
  const { deadline = '30s', rateLimitHeaders = 'standard', named = {}, ...policies } = config.policies ?? {};
  return {
    listen: buildListenSettings(config.listen),
    admin: {
      host: config.admin?.host ?? '127.0.0.1',
      port: config.admin?.port ?? 4001,
      tokens: config.admin?.tokens ?? [],
    },
    workers: config.workers === 'auto' ? availableParallelism() : (config.workers ?? 1),
    store: buildStore(config.store ?? 'file:.selvage'),
    ...(config.redis !== undefined && { redisUrl: config.redis }),
    cache: { store: config.cache?.store ?? 'memory', maxBytes: wholeBytes(config.cache?.maxSize ?? '64mb') },
    authentication: {
      jwt: [],
      apiKeys: [],
      ...config.authentication,
      required: config.authentication?.required ?? false,
    },
    authorization: config.authorization ?? {},
    viewer: config.viewer ?? {},
    deadlineMs: parseDurationMs(deadline),
    ...readPolicies(policies),
    rateLimitHeaders,
    namedPolicies: Object.entries(named).map(([name, definition]) => ({ name, definition })),
    services: config.services ?? {},
    own: buildOwnSettings(config),
    plugins: config.plugins ?? [],
    fields: config.fields ?? {},
    types: config.types ?? {},
    graphql: {
      path: config.graphql?.path ?? '/graphql',
      introspection: config.graphql?.introspection ?? true,
      graphiql: config.graphql?.graphiql ?? environment['NODE_ENV'] !== 'production',
      maxBatchSize: config.graphql?.maxBatchSize ?? 0,
      limits: config.graphql?.limits ?? {},
      suggestions: config.graphql?.suggestions ?? environment['NODE_ENV'] !== 'production',
      persistedOperations: buildPersistedOperations(config.graphql?.persistedOperations ?? {}),
      subgraphErrors: config.graphql?.subgraphErrors ?? 'pass',
      cost: {
        listSize: config.graphql?.cost?.listSize ?? 10,
        slicingArguments: config.graphql?.cost?.slicingArguments ?? ['first', 'last', 'limit'],
      },
      plugins: config.graphql?.plugins ?? [],
      engine: config.graphql?.engine ?? 'auto',
      shareSubgraphRequests: config.graphql?.shareSubgraphRequests ?? true,
      shareOperations: config.graphql?.shareOperations ?? false,
      edge: buildGraphqlEdgeOptions(config.graphql ?? {}),
      cache: buildOperationCache(config.graphql?.cache),
    },
    limits: buildLimits(config.limits ?? {}),
    ...(config.hosts !== undefined && { hosts: config.hosts }),
    serverTiming: config.serverTiming ?? 'on-request',
    ...(config.loadShedding !== undefined && { loadShedding: config.loadShedding }),
    ...(config.zone !== undefined && { zone: config.zone }),
    sessionSecrets: config.sessions?.secrets ?? [],
    trustedProxies: config.trustedProxies ?? [],
    ...(config.registration?.allow !== undefined && { registrationAllow: config.registration.allow }),
    discovery: config.discovery ?? {},
    registry: {
      schemaChanges: config.registry?.schemaChanges ?? 'any',
      usageWindowMs: parseDurationMs(config.registry?.usageWindow ?? '7d'),
      maxHistory: config.registry?.history ?? 100,
    },
    massExpiry: buildMassExpiry(config.registry?.massExpiry ?? {}),
    log: { level: config.logging?.level ?? 'info', access: config.logging?.access ?? true },
    shutdown: {
      delayMs: parseDurationMs(config.shutdown?.delay ?? '0s'),
      graceMs: parseDurationMs(config.shutdown?.grace ?? '30s'),
    },
  };
}

/** What is said of the whole gateway, and of that what the parts read that are no policies of routes or fields. */
export function readPolicies(
  policies: GatewayPolicies,
): Pick<Settings, 'policies' | 'resilience' | 'rateLimit' | 'edge'> {
  const resilience = Object.entries(policies).filter(([kind]) => kind in resilienceProperties);
  return {
    policies,
    resilience: Object.fromEntries(resilience),
    rateLimit: policies.rateLimit ?? [],
    edge: pickEdgeOptions(policies),
  };
}
