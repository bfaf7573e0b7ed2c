/** The kinds of policies at each level, and how far down they reach. What somebody adds to a level's options is a kind. */
import type { TSchema } from 'typebox';
import { createPolicyCheck, createPolicyMistakes, type KindSchemas } from '../policies/policy-check.ts';
import { resilienceProperties } from '../policies/resilience.ts';
import { Route, ServiceDefinition } from '../subgraphs/service-definition.ts';
import { GatewayConfig } from './config-schema.ts';
import { FieldPolicy, TypePolicy } from './field-policies.ts';
import { findNamedContradictions } from './policy-rules.ts';

type Properties = Readonly<Record<string, TSchema>>;

const policiesSchema = GatewayConfig.properties.policies as unknown as { readonly properties: Properties };

/** By level. What says which requests a thing gets, or where it is, is no policy. */
export const kindsByLevel: KindSchemas = {
  gateway: without(policiesSchema.properties, ['deadline', 'rateLimitHeaders', 'named']),
  service: without(ServiceDefinition.properties, [
    'graphql',
    'routes',
    'fallbackFor',
    'trafficFrom',
    'instances',
    'discovery',
    'health',
    'schemaChanges',
    // How its instances are spoken to, with files of keys that no policy may name.
    'tls',
    'http2',
    'grpc',
  ]),
  route: without(Route.properties, [
    'match',
    'rewrite',
    'redirect',
    'respond',
    'split',
    'version',
    'mirror',
    'host',
    'callback',
  ]),
  type: TypePolicy.properties,
  field: FieldPolicy.properties,
};

/** Kinds of the calls to a service. They hold there, for both doors; what a route says of them stands beside it. */
export function isCallKind(kind: string): boolean {
  return kind in resilienceProperties;
}

/** Whether a service, or the gateway, says the kind for routes that do not. */
export function reachesRoutes(kind: string): boolean {
  // Header rules add up where they are compiled, level after level.
  return kind in kindsByLevel.route && !isCallKind(kind) && kind !== 'headers';
}

/** What a type says of the fields that return it, and not of its own. Root types are returned by nothing. */
const kindsOfReturned: ReadonlySet<string> = new Set(['cost', 'cache']);

/** Whether a type says the kind for its fields that do not. */
export function reachesOwnFields(kind: string, isRoot: boolean): boolean {
  if (!(kind in kindsByLevel.field)) return false;
  return kind === 'cost' ? isRoot : !kindsOfReturned.has(kind);
}

/** Whether a service says the kind for its part of the graph: all fields that only it resolves, or the root fields. */
export function reachesServiceFields(kind: string, isRoot: boolean): boolean {
  return kind === 'authorize' || (isRoot && (kind === 'public' || kind === 'rateLimit' || kind === 'cost'));
}

/** Whether the gateway says the kind for root fields. Its rate limits count operations instead. */
export function reachesRootFields(kind: string): boolean {
  return kind === 'authorize';
}

const checkOptions = { kinds: kindsByLevel, findContradictions: findNamedContradictions };

/** Checks a named policy, for the admin API. */
export const checkPolicy = createPolicyCheck(checkOptions);

/** The same for the configuration. */
export const findPolicyMistakes = createPolicyMistakes(checkOptions);

function without(properties: Properties, names: readonly string[]): Properties {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !names.includes(name)));
}
