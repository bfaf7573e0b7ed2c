/**
 * The registry as the data plane sees it: immutable, serializable, numbered. A change makes a new snapshot; nothing in
 * an old one ever changes.
 */
import { createHash } from 'node:crypto';
import type { ErrorReason } from '../policies/errors.ts';
import type { NamedPolicy, PolicyDefinition } from '../policies/policy-definition.ts';
import type { ProviderName } from './discovery/provider.ts';
import type { ServiceDefinition } from './service-definition.ts';

/** The schema that a service has, and where it came from. */
export interface ServiceSchema {
  readonly kind: 'federation' | 'plain';
  readonly sdl: string;
  /** SHA-256 of kind and sdl, hex. */
  readonly hash: string;
  readonly source: 'registration' | 'federation' | 'introspection';
}

/** The schema that instances of one version have. */
export interface VersionSchema {
  /** As the instances say it; empty for those that say nothing. */
  readonly version: string;
  readonly schema: ServiceSchema;
}

/** A schema that a service has now, and that is not served. */
export interface RejectedSchema {
  readonly schema: ServiceSchema;
  /** The version of the instances that have it; missing when they say none. */
  readonly version?: string;
  readonly reasons: readonly ErrorReason[];
  /** Whether a rollback took it out: then it comes back only when the service is registered again. */
  readonly held?: boolean;
}

export interface Instance {
  readonly id: string;
  /** Origin, without a slash at the end. */
  readonly url: string;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  /**
   * `static`: named in the definition. `lease`: registered at run time, gone when not renewed. `discovered`: found by a
   * provider that the definition names, gone when it tells so.
   */
  readonly origin: 'static' | 'lease' | 'discovered';
  /** Who found it. */
  readonly provider?: ProviderName;
  readonly leaseSeconds?: number;
  /** Takes no new calls; those in flight end. */
  readonly draining: boolean;
}

export interface Service {
  readonly name: string;
  readonly definition: ServiceDefinition;
  /** Null for services without GraphQL, and as long as nobody could be asked for the schema. */
  readonly schema: ServiceSchema | null;
  /**
   * Why the schema is not part of the graph, or null when it is. Only services of the configuration file and schemas
   * found in the background can come to this: a registration that does not compose is refused instead.
   */
  readonly quarantine: readonly ErrorReason[] | null;
  /** What is not served in the place of `schema`, which is the last good one. Missing as a rule. */
  readonly rejected?: RejectedSchema;
  /**
   * The schemas of a rolling deploy, in the order in which the versions came: present as long as instances of more than
   * one version take calls. `schema` is that of the newest which composes.
   */
  readonly versions?: readonly VersionSchema[];
  /** The version that gave `schema`; missing when instances say none. */
  readonly schemaVersion?: string;
  readonly instances: readonly Instance[];
  /** Revision of the registry in which the definition or schema last changed: the ETag of the service. */
  readonly revision: number;
  /** Whether it comes from the configuration file, or was registered by the admin API. */
  readonly origin: 'config' | 'admin';
}

/** A policy that was written at run time. */
export interface StoredPolicy extends NamedPolicy {
  /** Revision of the registry in which it last changed: its ETag. */
  readonly revision: number;
  readonly at: string;
  readonly author: string;
  /** What it said before, the newest last. Bounded. */
  readonly history: readonly PolicyVersion[];
}

export interface PolicyVersion {
  readonly revision: number;
  readonly at: string;
  readonly author: string;
  readonly definition: PolicyDefinition;
}

export interface Snapshot {
  /** Grows by one with every change. */
  readonly revision: number;
  /** Sorted by name. */
  readonly services: readonly Service[];
  /** Policies of the admin API, sorted by name. Missing for none. */
  readonly policies?: readonly StoredPolicy[];
}

export const emptySnapshot: Snapshot = { revision: 0, services: [] };

/** A service by its name. */
export function findService(snapshot: Snapshot, name: string): Service | undefined {
  return snapshot.services.find((service) => service.name === name);
}

/** An instance by its id. */
export function findInstance(service: Service | undefined, id: string): Instance | undefined {
  return service?.instances.find((instance) => instance.id === id);
}

/** Whether the service's schema is meant to be part of the graph. */
export function isComposed(service: Service): service is Service & { readonly schema: ServiceSchema } {
  return service.schema !== null && service.quarantine === null;
}

/** A schema with its hash: the one place that says what the hash is made of. */
export function buildServiceSchema(
  kind: ServiceSchema['kind'],
  sdl: string,
  source: ServiceSchema['source'],
): ServiceSchema {
  return { kind, sdl, source, hash: createHash('sha256').update(kind).update('\n').update(sdl).digest('hex') };
}

/** The same services with some put in, or in the place of those that had their names. Keeps the revision. */
export function withServices(snapshot: Snapshot, services: Iterable<Service>): Snapshot {
  const byName = new Map(snapshot.services.map((service) => [service.name, service]));
  for (const service of services) byName.set(service.name, service);
  return { ...snapshot, services: sortByName([...byName.values()]) };
}

/** The same services but one. Keeps the revision. */
export function withoutService(snapshot: Snapshot, name: string): Snapshot {
  return { ...snapshot, services: snapshot.services.filter((service) => service.name !== name) };
}

/** A policy of run time by its name. */
export function findPolicy({ policies = [] }: Snapshot, name: string): StoredPolicy | undefined {
  return policies.find((policy) => policy.name === name);
}

/** The same snapshot with these policies and no others. Keeps the revision. */
export function withPolicies({ policies: _, ...rest }: Snapshot, policies: readonly StoredPolicy[]): Snapshot {
  return policies.length === 0 ? rest : { ...rest, policies: sortByName(policies) };
}

/** Services or policies in the order that a snapshot has them in. Not by locale: every gateway must sort alike. */
export function sortByName<Named extends { readonly name: string }>(all: readonly Named[]): readonly Named[] {
  return all.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * All that the graph is composed from, as one string: snapshots that share it have the same graph. Instances, routes
 * and policies are no part of it, nor are services whose schema is missing or in quarantine.
 */
export function buildGraphFingerprint(snapshot: Snapshot): string {
  return JSON.stringify(
    snapshot.services
      .filter(isComposed)
      .map((service) => [service.name, service.schema.hash, service.definition.graphql?.merge ?? null]),
  );
}

/** A service without some of what it need not have. */
export function withoutKeys<Key extends 'versions' | 'rejected' | 'schemaVersion'>(
  service: Service,
  ...keys: readonly Key[]
): Service {
  const copy: { -readonly [Name in keyof Service]: Service[Name] } = { ...service };
  for (const key of keys) delete copy[key];
  return copy;
}
