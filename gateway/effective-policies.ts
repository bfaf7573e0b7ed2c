/**
 * What holds, worked out before the data plane sees it: services, routes and fields with the options that win at them, as
 * if all had been written there. Requests look nothing up, and the parts that enforce options know nothing of levels.
 * What did not change stays the same object, by which the data plane and the upstreams know what to keep.
 */
import { isDeepStrictEqual } from 'node:util';
import { isInterfaceType, isObjectType } from 'graphql';
import { buildLayers, buildOptions, type PolicyLayer } from '../policies/policy-binding.ts';
import type { NamedPolicy } from '../policies/policy-definition.ts';
import { createFieldOwners } from '../schema/field-owners.ts';
import type { Graph } from '../schema/graph.ts';
import { listRoutes } from '../subgraphs/grpc-schema.ts';
import type { Route, ServiceDefinition } from '../subgraphs/service-definition.ts';
import type { Service, Snapshot } from '../subgraphs/snapshot.ts';
import { type FieldPolicy, type GatewayPolicies, readPolicies, type Settings, type TypePolicy } from './config.ts';
import {
  createFieldLayers,
  createNamedPolicies,
  listGatewayLayers,
  listRouteLayers,
  listServiceLayers,
  type PolicySources,
} from './policy-layers.ts';

/** Snapshot and settings as the data plane takes them. */
export interface EffectivePolicies {
  readonly snapshot: Snapshot;
  readonly settings: Settings;
}

export type ResolvePolicies = (snapshot: Snapshot, settings: Settings, graph: Graph) => EffectivePolicies;

/** Creates the function, which remembers its last results. */
export function createPolicyResolution(): ResolvePolicies {
  const findOwners = createFieldOwners();
  const listNamed = createNamedPolicies();
  let sources: PolicySources & { readonly of: Settings } = { of: {} as Settings, settings: {} as Settings, named: [] };
  let definitions = new WeakMap<ServiceDefinition, ServiceDefinition>();
  let services = new WeakMap<Service, Service>();
  let lastSettings: Settings | undefined;
  let lastFields: { readonly key: readonly unknown[]; readonly fields: Settings['fields'] } | undefined;

  function resolveService(service: Service): Service {
    const { name, definition } = service;
    const effective = definitions.get(definition) ?? resolveDefinition(sources, name, definition);
    definitions.set(definition, effective);
    if (effective === definition) return service;
    const known = services.get(service) ?? { ...service, definition: effective };
    services.set(service, known);
    return known;
  }

  function resolveSnapshot(snapshot: Snapshot): Snapshot {
    const resolved = snapshot.services.map(resolveService);
    if (resolved.every((service, index) => service === snapshot.services[index])) return snapshot;
    return { ...snapshot, services: resolved };
  }

  function resolveFields(snapshot: Snapshot, graph: Graph): Settings['fields'] {
    const key = [
      sources,
      graph,
      ...snapshot.services.flatMap(({ name, definition, schema }) => [name, definition, schema?.hash]),
    ];
    if (lastFields !== undefined && isSame(key, lastFields.key)) return lastFields.fields;
    const fields = buildFields(sources, snapshot, graph, () => findOwners(snapshot));
    const kept = lastFields !== undefined && isDeepStrictEqual(fields, lastFields.fields);
    lastFields = { key, fields: kept && lastFields !== undefined ? lastFields.fields : fields };
    return lastFields.fields;
  }

  return (snapshot, settings, graph) => {
    const named = listNamed(settings, snapshot);
    if (settings !== sources.of || !hasSamePolicies(named, sources.named)) {
      sources = { of: settings, settings, named };
      definitions = new WeakMap();
      services = new WeakMap();
    }
    const effective = resolveSnapshot(snapshot);
    const next = resolveSettings(sources, settings, resolveFields(snapshot, graph));
    // What another graph or another service left alone is no new configuration.
    if (lastSettings === undefined || !isSameSettings(next, lastSettings)) lastSettings = next;
    return { snapshot: effective, settings: lastSettings };
  };
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((entry, index) => entry === b[index]);
}

function hasSamePolicies(a: readonly NamedPolicy[], b: readonly NamedPolicy[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ name, definition }, index) => name === b[index]?.name && definition === b[index]?.definition)
  );
}

/** Most settings are never replaced one by one: only those that policies touch can differ without being others. */
function isSameSettings(a: Settings, b: Settings): boolean {
  return (Object.keys({ ...a, ...b }) as (keyof Settings)[]).every(
    (name) => a[name] === b[name] || (isTouched(name) && isDeepStrictEqual(a[name], b[name])),
  );
}

const touched = ['policies', 'resilience', 'rateLimit', 'edge', 'types', 'graphql', 'loadShedding'] as const;

function isTouched(name: keyof Settings): boolean {
  return (touched as readonly string[]).includes(name);
}

/** What the gateway says with its named policies, types likewise, and the fields. */
function resolveSettings(sources: PolicySources, settings: Settings, fields: Settings['fields']): Settings {
  const policies = buildOptions(listGatewayLayers(sources)) as GatewayPolicies;
  const types = resolveTypes(sources);
  const { loadShedding, graphql } = settings;
  const { priority } = policies;
  const hints = Object.entries(types).flatMap(([name, { cache }]) => (cache === undefined ? [] : [[name, cache]]));
  return {
    ...settings,
    ...readPolicies(policies),
    fields,
    types,
    graphql:
      graphql.cache === null || hints.length === 0
        ? graphql
        : { ...graphql, cache: { ...graphql.cache, types: { ...graphql.cache.types, ...Object.fromEntries(hints) } } },
    ...(loadShedding !== undefined &&
      priority !== undefined && { loadShedding: { graphql: priority, ...loadShedding } }),
  };
}

function resolveTypes({ settings, named }: PolicySources): Settings['types'] {
  const bound = named.flatMap(({ definition }) => definition.bind.types ?? []);
  if (bound.length === 0) return settings.types;
  const names = new Set([...Object.keys(settings.types), ...bound]);
  return Object.fromEntries(
    [...names].map((type) => {
      const layers = buildLayers({ level: 'type', type }, settings.types[type], named);
      return [type, buildOptions(layers) as TypePolicy];
    }),
  );
}

/** A definition with what is bound to the service and to its routes. The same object where that is nothing. */
function resolveDefinition(sources: PolicySources, name: string, written: ServiceDefinition): ServiceDefinition {
  const definition = written.grpc === undefined ? written : { ...written, routes: [...listRoutes(written)] };
  const routes = definition.routes?.map((route) => resolveRoute(sources, name, definition, route));
  const layers = listServiceLayers(sources, name, definition);
  const isBound = layers.some(({ policy }) => policy !== null);
  if (!isBound && routes?.every((route, index) => route === definition.routes?.[index]) !== false) return definition;
  const { graphql, fallbackFor, trafficFrom, instances, discovery, health, schemaChanges } = definition;
  const { tls, http2, grpc } = definition;
  const structure = {
    graphql,
    fallbackFor,
    trafficFrom,
    instances,
    discovery,
    health,
    schemaChanges,
    tls,
    http2,
    grpc,
  };
  return {
    ...withoutMissing(structure),
    ...(isBound ? buildOptions(layers) : withoutRoutes(definition)),
    ...(routes !== undefined && { routes }),
  };
}

function withoutRoutes({ routes: _, ...rest }: ServiceDefinition): Omit<ServiceDefinition, 'routes'> {
  return rest;
}

/** A route with what its service and the gateway say for it. Rules of the gateway are asked by the door for every route. */
function resolveRoute(sources: PolicySources, service: string, definition: ServiceDefinition, route: Route): Route {
  const layers = listRouteLayers(sources, service, definition, route).map((layer) =>
    layer.level === 'gateway' ? withoutRules(layer) : layer,
  );
  const { match, rewrite, redirect, respond, split, version, mirror, host, callback } = route;
  const written = withoutMissing({ rewrite, redirect, respond, split, version, mirror, host, callback });
  const effective: Route = { match, ...written, ...buildOptions(layers) };
  return isDeepStrictEqual(effective, route) ? route : effective;
}

function withoutRules(layer: PolicyLayer): PolicyLayer {
  const { rateLimit: _, ...options } = layer.options;
  return { ...layer, options };
}

function withoutMissing<Value extends object>(value: Value): { [Key in keyof Value]?: NonNullable<Value[Key]> } {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as {
    [Key in keyof Value]?: NonNullable<Value[Key]>;
  };
}

/** Policies of all fields of the graph that anything is said of, and of those that it does not have yet as they stand. */
function buildFields(
  sources: PolicySources,
  { services }: Snapshot,
  { schema }: Graph,
  findOwners: () => ReturnType<ReturnType<typeof createFieldOwners>>,
): Settings['fields'] {
  const { settings, named } = sources;
  const isPlain =
    Object.keys(settings.types).length === 0 &&
    named.length === 0 &&
    settings.policies.authorize === undefined &&
    !services.some(({ definition }) => hasFieldKinds(definition));
  if (isPlain) return settings.fields;
  const layers = createFieldLayers({ ...sources, schema, services, owners: findOwners() });
  const fields: Record<string, FieldPolicy> = { ...settings.fields };
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__') || !(isObjectType(type) || isInterfaceType(type))) continue;
    for (const field of Object.keys(type.getFields())) {
      const options = buildOptions(layers.list(type.name, field)) as FieldPolicy;
      if (Object.keys(options).length > 0) fields[`${type.name}.${field}`] = options;
    }
  }
  return fields;
}

function hasFieldKinds({ authorize, public: open, rateLimit, cost }: ServiceDefinition): boolean {
  return authorize !== undefined || open !== undefined || rateLimit !== undefined || cost !== undefined;
}
