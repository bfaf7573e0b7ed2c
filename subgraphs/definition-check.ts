/** Checks what teams and the configuration say about services, whole: schema first, then what no schema can say. */

import { Compile } from 'typebox/compile';
import { findAuthorizeMistakes } from '../policies/authorize-mistakes.ts';
import { findDurationMistakes } from '../policies/duration-check.ts';
import { findEdgeMistakes } from '../policies/edge-options.ts';
import { type ErrorReason, GatewayError } from '../policies/errors.ts';
import { findMessageMistakes } from '../policies/message-options.ts';
import { findLimitMistakes } from '../policies/rate-limit-rule.ts';
import { findRetireMistakes } from '../policies/retirement.ts';
import { buildReasons, findSchemaMistakes, formatPointer, type Mistake } from '../policies/schema-mistakes.ts';
import { findCallbackMistakes } from './callback-check.ts';
import { findGrpcMistakes } from './grpc-check.ts';
import { findHealthMistakes } from './health-settings.ts';
import { findBalancingMistakes } from './load-balancing-options.ts';
import { findAnswerMistakes } from './route-answer.ts';
import { findMatchMistakes } from './route-match.ts';
import { findMirrorMistakes } from './route-mirror.ts';
import { findRegionMistakes } from './route-region.ts';
import { findRewriteMistakes } from './route-rewrite.ts';
import { findSplitMistakes } from './route-split.ts';
import {
  InstanceRegistration,
  instanceIdPattern,
  type Route,
  ServiceDefinition,
  type StaticInstance,
  serviceNamePattern,
} from './service-definition.ts';
import { findFileReasons, findTlsMistakes } from './service-tls-options.ts';

const definitions = Compile(ServiceDefinition);
const registrations = Compile(InstanceRegistration);
const serviceNames = new RegExp(serviceNamePattern);
const instanceIds = new RegExp(instanceIdPattern);

/** A service definition, or BAD_REQUEST with every mistake in it. `isNew`: not one that was accepted before. */
export function checkDefinition(value: unknown, isNew = true): ServiceDefinition {
  const reasons = findDefinitionMistakes(value, isNew);
  if (reasons.length > 0) throw new GatewayError('BAD_REQUEST', 'the service definition is not valid', { reasons });
  // Nobody may change a snapshot from outside, and equal definitions must be equal without regard to `undefined`.
  return JSON.parse(JSON.stringify(value)) as ServiceDefinition;
}

/** What {@link checkDefinition} throws, as a list. */
export function findDefinitionMistakes(value: unknown, isNew = true): readonly ErrorReason[] {
  const mistakes = findSchemaMistakes(definitions, value);
  if (mistakes.length > 0) return buildReasons(mistakes);
  return [
    ...findContradictions(value as ServiceDefinition, isNew),
    ...buildReasons(findDurationMistakes(ServiceDefinition, value)),
  ];
}

/** Definitions by name, or BAD_REQUEST with the mistakes of all of them. */
export function checkDefinitions(values: Readonly<Record<string, unknown>>): ReadonlyMap<string, ServiceDefinition> {
  const reasons: ErrorReason[] = [];
  for (const [name, value] of Object.entries(values)) {
    const at = formatPointer(['services', name]);
    try {
      assertServiceName(name);
    } catch (error) {
      reasons.push({ path: at, message: error instanceof Error ? error.message : String(error) });
    }
    for (const reason of findDefinitionMistakes(value)) reasons.push({ ...reason, path: `${at}${reason.path ?? ''}` });
  }
  if (reasons.length > 0) throw new GatewayError('BAD_REQUEST', 'the service definitions are not valid', { reasons });
  return new Map(Object.entries(values).map(([name, value]) => [name, checkDefinition(value)]));
}

/** Throws REGISTRATION_REFUSED for what only the operator's own file may say. */
export function assertNoFiles(service: string, definition: ServiceDefinition): void {
  const reasons = findFileReasons(definition);
  const [first] = reasons;
  if (first === undefined) return;
  throw new GatewayError('REGISTRATION_REFUSED', `${first.path}: ${first.message}`, { service, reasons });
}

/** The registration of an instance, or BAD_REQUEST with every mistake in it. */
export function checkInstance(value: unknown): InstanceRegistration {
  const reasons = buildReasons(findSchemaMistakes(registrations, value));
  if (reasons.length > 0) throw new GatewayError('BAD_REQUEST', 'the instance registration is not valid', { reasons });
  return value as InstanceRegistration;
}

/** Throws BAD_REQUEST unless a service may have this name. */
export function assertServiceName(name: string): void {
  if (serviceNames.test(name)) return;
  throw new GatewayError('BAD_REQUEST', `the name of a service must match ${serviceNamePattern}`);
}

/** Throws BAD_REQUEST unless an instance may have this id. */
export function assertInstanceId(id: string): void {
  if (instanceIds.test(id)) return;
  throw new GatewayError('BAD_REQUEST', `the id of an instance must match ${instanceIdPattern}`);
}

/** The id of an instance that the definition gives none: host and port of its URL, in the letters that an id may have. */
export function buildStaticId(instance: StaticInstance): string {
  if (instance.id !== undefined) return instance.id;
  const { hostname, port, protocol } = new URL(instance.url);
  const id = `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`.replaceAll(/[[\]]/g, '');
  return (id.startsWith(':') ? `0${id}` : id).replaceAll(/[^A-Za-z0-9._:-]/g, '-');
}

/** What contradicts itself in a definition that fits the schema. */
function findContradictions(definition: ServiceDefinition, isNew: boolean): readonly ErrorReason[] {
  const { graphql, routes = [], instances = [] } = definition;
  const reasons: ErrorReason[] = [];
  if (graphql === undefined && routes.length === 0 && definition.grpc === undefined) {
    reasons.push({ path: '', message: 'expected `graphql`, `routes`, `grpc` or several: the service offers nothing' });
  }
  if (graphql?.kind === 'federation' && graphql.merge !== undefined) {
    const message = '`merge` is for plain services; a federated one says it in its schema, with `@key`';
    reasons.push({ path: '/graphql/merge', message });
  }
  const dns = definition.discovery?.dns;
  if (dns !== undefined && dns.type !== 'SRV' && dns.port === undefined) {
    reasons.push({ path: '/discovery/dns', message: 'A and AAAA records have no port: say `port`, or `type: SRV`' });
  }
  reasons.push(
    ...buildReasons(findHealthMistakes(definition)),
    ...buildReasons(findGrpcMistakes(definition, isNew)),
    ...buildReasons(findEdgeMistakes(definition, { service: '' })),
    ...buildReasons(findMessageMistakes(definition)),
    ...buildReasons(findRegionMistakes(definition.region)),
  );
  return [
    ...reasons,
    ...findBalancingMistakes(definition.loadBalancing),
    ...findInstanceMistakes(instances),
    ...findTlsMistakes(definition),
    ...findRuleMistakes(definition.rateLimit, ''),
    ...findAccessMistakes(definition, ''),
    ...routes.flatMap(findRouteMistakes),
  ];
}

function findAccessMistakes(
  { authorize, public: open }: Pick<Route, 'authorize' | 'public'>,
  path: string,
): readonly ErrorReason[] {
  if (authorize === undefined) return [];
  const mistakes = findAuthorizeMistakes(authorize, { atRoute: true });
  // Open to anonymous requests, of which an expression decides, is no contradiction.
  if (mistakes.length === 0 && open === true && authorize.authenticated !== false)
    return [{ path: `${path}/public`, message: '`public` and `authorize` contradict each other' }];
  return mistakes.map((mistake) => ({
    path: [path, 'authorize', ...mistake.path].join('/'),
    message: mistake.message,
  }));
}

function findInstanceMistakes(instances: readonly StaticInstance[]): readonly ErrorReason[] {
  const seen = new Set<string>();
  return instances.flatMap((instance, index) => {
    const path = `/instances/${index}`;
    if (!URL.canParse(instance.url)) return [{ path: `${path}/url`, message: 'expected a URL' }];
    const id = buildStaticId(instance);
    if (seen.has(id))
      return [{ path, message: `another instance has the id ${JSON.stringify(id)}; give each its own` }];
    seen.add(id);
    return [];
  });
}

function findRouteMistakes(route: Route, index: number): readonly ErrorReason[] {
  const at = `/routes/${index}`;
  return [
    ...findRuleMistakes(route.rateLimit, at),
    ...findAccessMistakes(route, at),
    ...buildReasons([
      ...findMatchMistakes(route.match).map(({ path, message }) => ({ path: ['match', ...path], message })),
      ...findEdgeMistakes(route, { service: '', routePath: route.match.path }),
      ...findMessageMistakes(route),
      ...findRetirementMistakes(route),
      ...findRewriteMistakes(route),
      ...findAnswerMistakes(route),
      ...findSplitMistakes(route),
      ...findMirrorMistakes(route),
      ...findCallbackMistakes(route),
      ...findRegionMistakes(route.region),
      ...(route.host !== undefined && route.preserveHost === true
        ? [{ path: ['host'], message: 'expected either `host` or `preserveHost`' }]
        : []),
    ]).map((reason) => ({ ...reason, path: `${at}${reason.path ?? ''}` })),
  ];
}

function findRetirementMistakes({ match, retire }: Route): Mistake[] {
  const { rewrite } = retire?.replacement ?? {};
  const ofRewrite = rewrite === undefined ? [] : findRewriteMistakes({ match, rewrite });
  return [
    ...findRetireMistakes(retire).map(({ path, message }) => ({ path: ['retire', ...path], message })),
    ...ofRewrite.map(({ path, message }) => ({ path: ['retire', 'replacement', ...path], message })),
  ];
}

function findRuleMistakes(rules: Route['rateLimit'] = [], at: string): readonly ErrorReason[] {
  const names = rules.map(({ name }) => name);
  return rules.flatMap((rule, index) => {
    const first = names.indexOf(rule.name);
    const repeated = { path: ['name'], message: `the same \`name\` as entry ${first} of the list` };
    const mistakes = [...findLimitMistakes(rule), ...(first < index ? [repeated] : [])];
    return mistakes.map(({ path, message }) => ({ path: `${at}/rateLimit/${[index, ...path].join('/')}`, message }));
  });
}
