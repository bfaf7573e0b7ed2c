/** Layers as explanations tell them: with what adds up level by level, and with what the GraphQL door says of itself. */

import { type GraphQLSchema, getNamedType, isInterfaceType, isObjectType } from 'graphql';
import type { HeaderRules } from '../policies/header-rules.ts';
import { buildLayers, type PolicyLayer, pickKinds } from '../policies/policy-binding.ts';
import type { Route, ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { Settings } from './config.ts';
import { ownRouteProperties } from './own-route-options.ts';
import { isPipedKind, type OwnGate } from './own-routes.ts';
import {
  listCallLayers,
  listGatewayLayers,
  listRouteLayers,
  listServiceLayers,
  type PolicySources,
} from './policy-layers.ts';

/** Kinds of the gateway that hold at the GraphQL door; those of calls and fields are told there. */
const doorKinds: ReadonlySet<string> = new Set(['authorize', 'priority', 'cors', 'securityHeaders', 'headers']);

/** Kinds of the gateway that hold at the routes that it answers itself. */
const ownKinds: ReadonlySet<string> = new Set(Object.keys(ownRouteProperties).filter((kind) => kind !== 'cost'));

/** Of a route: header rules of all levels add up. */
export function listRouteLayersInFull(
  sources: PolicySources,
  service: string,
  definition: ServiceDefinition,
  route: Route,
): PolicyLayer[] {
  const general = [...listServiceLayers(sources, service, definition), ...listGatewayLayers(sources)];
  return [...listRouteLayers(sources, service, definition, route), ...pickKinds(general, isHeaders)];
}

/** Of a route that the gateway answers itself. Where the GraphQL pipeline asks for limits and rights, they stand there. */
export function listOwnRouteLayers(sources: PolicySources, { kind, label, said }: OwnGate): PolicyLayer[] {
  const own = { level: 'route', target: label, policy: null, options: said as PolicyLayer['options'] } as const;
  const isPiped = isPipedKind(kind);
  const reaches = (name: string) => ownKinds.has(name) && !(isPiped && (name === 'authorize' || name === 'rateLimit'));
  return [own, ...pickKinds(listGatewayLayers(sources), reaches)];
}

/** Of the GraphQL door: what stands under `graphql`, then what reaches it of the gateway. */
export function listDoorLayers(sources: PolicySources, { graphql, loadShedding }: Settings): PolicyLayer[] {
  const { cors, csrf, securityHeaders, headers } = graphql.edge;
  const priority = loadShedding?.graphql;
  const own = withoutMissing({ priority, cors, csrf, securityHeaders, headers });
  const layers = [{ ...door, options: own }, ...pickKinds(listGatewayLayers(sources), (kind) => doorKinds.has(kind))];
  return pickDirection(layers, 'response');
}

/** What the type says of every field that returns it: `authorize` beside all that the field says, `cache` where it says none. */
export function listReturnedLayers({ settings, named }: PolicySources, schema: GraphQLSchema, coordinate: string) {
  const [typeName = '', fieldName = ''] = coordinate.split('.');
  const parent = schema.getType(typeName);
  const field = isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[fieldName] : undefined;
  if (field === undefined) return [];
  const type = getNamedType(field.type).name;
  const layers = buildLayers({ level: 'type', type }, settings.types[type], named);
  return pickKinds(layers, (kind) => kind === 'authorize' || kind === 'cache');
}

/** Of the calls of the GraphQL door to a service. */
export function listGraphqlCallLayers(
  sources: PolicySources,
  { graphql }: Settings,
  service: string,
  definition: ServiceDefinition,
): PolicyLayer[] {
  const { headers } = graphql.edge;
  const rules = [
    ...listServiceLayers(sources, service, definition),
    { ...door, options: withoutMissing({ headers }) },
    ...listGatewayLayers(sources),
  ];
  return [...listCallLayers(sources, service, definition), ...pickDirection(pickKinds(rules, isHeaders), 'request')];
}

const door = { level: 'gateway', target: 'graphql', policy: null } as const;

function isHeaders(kind: string): boolean {
  return kind === 'headers';
}

/** At the GraphQL door an answer is not that of one service: rules for the one have nothing to do with the other. */
function pickDirection(layers: readonly PolicyLayer[], direction: keyof HeaderRules): PolicyLayer[] {
  return layers.map(({ options, ...origin }) => {
    const { headers, ...others } = options as PolicyLayer['options'] & { readonly headers?: HeaderRules };
    const rules = headers?.[direction];
    return { ...origin, options: rules === undefined ? others : { ...others, headers: { [direction]: rules } } };
  });
}

function withoutMissing(options: PolicyLayer['options']): PolicyLayer['options'] {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
