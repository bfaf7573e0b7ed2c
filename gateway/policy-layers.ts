/** What is said of a target at all levels, the most specific first: what the data plane and the admin API resolve. */
import { type GraphQLSchema, getNamedType, isInterfaceType, isObjectType } from 'graphql';
import { buildLayers, type PolicyLayer, type PolicyTarget, pickKinds } from '../policies/policy-binding.ts';
import type { NamedPolicy } from '../policies/policy-definition.ts';
import type { FieldOwners } from '../schema/field-owners.ts';
import type { Route, ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { Snapshot } from '../subgraphs/snapshot.ts';
import type { Settings } from './config.ts';
import {
  checkPolicy,
  isCallKind,
  kindsByLevel,
  reachesOwnFields,
  reachesRootFields,
  reachesRoutes,
  reachesServiceFields,
} from './policy-levels.ts';

/** Named policies of the configuration and of run time. Of one name, that of the configuration holds. */
export type ListNamedPolicies = (
  settings: Pick<Settings, 'namedPolicies'>,
  snapshot: Pick<Snapshot, 'policies'>,
) => readonly NamedPolicy[];

/**
 * Creates the function. What a store holds may be older than this version, and nobody is there to be refused: a policy
 * that could not be written today is left out, so that whoever enforces options can trust them. Each is looked at once.
 */
export function createNamedPolicies(): ListNamedPolicies {
  const known = new WeakMap<NamedPolicy['definition'], boolean>();
  const isSound = ({ name, definition }: NamedPolicy): boolean => {
    const sound = known.get(definition) ?? checkPolicy(name, definition, []).length === 0;
    known.set(definition, sound);
    return sound;
  };
  return ({ namedPolicies }, { policies = [] }) => {
    const configured = new Set(namedPolicies.map(({ name }) => name));
    return [...namedPolicies, ...policies.filter((policy) => !configured.has(policy.name) && isSound(policy))];
  };
}

/** Where layers are taken from. */
export interface PolicySources {
  readonly settings: Pick<Settings, 'policies' | 'fields' | 'types'>;
  readonly named: readonly NamedPolicy[];
}

/** Of the gateway as a whole. */
export function listGatewayLayers({ settings, named }: PolicySources): PolicyLayer[] {
  return buildLayers({ level: 'gateway' }, settings.policies, named);
}

/** Of a service: its routes, its part of the graph, and the calls to it. */
export function listServiceLayers({ named }: PolicySources, name: string, definition: ServiceDefinition) {
  const layers = buildLayers({ level: 'service', service: name }, definition, named);
  return pickKinds(layers, (kind) => kind in kindsByLevel.service);
}

/** Of a route, with what reaches it of its service and of the gateway. */
export function listRouteLayers(
  sources: PolicySources,
  service: string,
  definition: ServiceDefinition,
  route: Route,
): PolicyLayer[] {
  const target: PolicyTarget = { level: 'route', service, path: route.match.path, methods: route.match.methods };
  return [
    ...pickKinds(buildLayers(target, route, sources.named), (kind) => kind in kindsByLevel.route),
    ...pickKinds(listServiceLayers(sources, service, definition), reachesRoutes),
    ...pickKinds(listGatewayLayers(sources), reachesRoutes),
  ];
}

/** Of the calls to a service. */
export function listCallLayers(sources: PolicySources, name: string, definition: ServiceDefinition): PolicyLayer[] {
  return pickKinds([...listServiceLayers(sources, name, definition), ...listGatewayLayers(sources)], isCallKind);
}

/** Looks fields of a graph up. What is equal for many of them is worked out once. */
export interface FieldLayers {
  /** All layers of a field, with what reaches it of types, services and the gateway. */
  list(type: string, field: string): PolicyLayer[];
}

export interface FieldLayersOptions extends PolicySources {
  readonly schema: GraphQLSchema;
  readonly services: readonly { readonly name: string; readonly definition: ServiceDefinition }[];
  readonly owners: FieldOwners;
}

export function createFieldLayers(options: FieldLayersOptions): FieldLayers {
  const { schema, services, owners, settings, named } = options;
  const roots = new Set([schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]);
  const ofServices = new Map(
    services.map(({ name, definition }) => {
      const layers = listServiceLayers(options, name, definition);
      return [
        name,
        {
          root: pickKinds(layers, (kind) => reachesServiceFields(kind, true)),
          other: pickKinds(layers, (kind) => reachesServiceFields(kind, false)),
        },
      ] as const;
    }),
  );
  const ofGateway = pickKinds(listGatewayLayers(options), reachesRootFields);
  const ofTypes = new Map<string, PolicyLayer[]>();
  const layersOfType = (type: string): PolicyLayer[] => {
    const known = ofTypes.get(type) ?? buildLayers({ level: 'type', type }, settings.types[type], named);
    ofTypes.set(type, known);
    return known;
  };
  return {
    list(typeName, fieldName) {
      const coordinate = `${typeName}.${fieldName}`;
      const own = buildLayers({ level: 'field', field: coordinate }, settings.fields[coordinate], named);
      const type = schema.getType(typeName);
      const definition = isObjectType(type) || isInterfaceType(type) ? type.getFields()[fieldName] : undefined;
      if (definition === undefined) return own;
      const isRoot = isObjectType(type) && roots.has(type);
      const [owner, ...others] = owners.get(coordinate) ?? [];
      const ofOwner = owner === undefined || others.length > 0 ? undefined : ofServices.get(owner);
      return [
        ...own,
        ...pickKinds(layersOfType(getNamedType(definition.type).name), (kind) => kind === 'cost'),
        ...pickKinds(layersOfType(typeName), (kind) => reachesOwnFields(kind, isRoot)),
        ...(ofOwner === undefined ? [] : isRoot ? ofOwner.root : ofOwner.other),
        ...(isRoot ? ofGateway : []),
      ];
    },
  };
}
