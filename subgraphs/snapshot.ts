/**
 * The registry as the data plane sees it: immutable, serializable, numbered. A change makes a new snapshot; nothing in
 * an old one ever changes.
 */
import type { ErrorReason } from '../policies/errors.ts';
import type { ServiceDefinition } from './service-definition.ts';

/** The schema that a service has, and where it came from. */
export interface ServiceSchema {
  readonly kind: 'federation' | 'plain';
  readonly sdl: string;
  /** SHA-256 of kind and sdl, hex. */
  readonly hash: string;
  readonly source: 'registration' | 'federation' | 'introspection';
}

export interface Instance {
  readonly id: string;
  /** Origin, without a slash at the end. */
  readonly url: string;
  readonly weight: number;
  readonly zone?: string;
  readonly version?: string;
  /** `static`: named in the definition. `lease`: registered at run time, gone when not renewed. */
  readonly origin: 'static' | 'lease';
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
  readonly instances: readonly Instance[];
  /** Revision of the registry in which the definition or schema last changed: the ETag of the service. */
  readonly revision: number;
  /** Whether it comes from the configuration file, or was registered by the admin API. */
  readonly origin: 'config' | 'admin';
}

export interface Snapshot {
  /** Grows by one with every change. */
  readonly revision: number;
  /** Sorted by name. */
  readonly services: readonly Service[];
}

export const emptySnapshot: Snapshot = { revision: 0, services: [] };

export function findService(snapshot: Snapshot, name: string): Service | undefined {
  return snapshot.services.find((service) => service.name === name);
}
