/** What a service looks like after a change: pure functions from the old one and what is new. */
import { isDeepStrictEqual } from 'node:util';
import { buildOrigin } from './address-policy.ts';
import { buildStaticId } from './definition-check.ts';
import { keepDiscovered } from './discovery/discovered-instances.ts';
import type { GraphqlEndpoint } from './graphql-endpoint.ts';
import type { ServiceDefinition } from './service-definition.ts';
import { withPresentVersions, withVersionSchema } from './service-versions.ts';
import {
  buildServiceSchema,
  type Instance,
  type Service,
  type ServiceSchema,
  type VersionSchema,
  withoutKeys,
} from './snapshot.ts';

export interface ServiceChange {
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly origin: Service['origin'];
  readonly existing: Service | undefined;
  /** The schemas that instances gave, by version; none when nobody could be asked. */
  readonly asked: readonly VersionSchema[];
  /** The revision that the change will make. */
  readonly revision: number;
  /** Whether a schema that is in quarantine is to be tried although it is the same. */
  readonly retry: boolean;
}

/** The service after the change; the existing one itself when nothing changes. */
export function buildService(change: ServiceChange): Service {
  const { name, definition, origin, existing } = change;
  const instances = buildInstances(definition, existing);
  const chosen = chooseSchema(change, {
    name,
    definition,
    origin,
    instances,
    revision: 0,
    schema: null,
    quarantine: null,
  });
  const isNew = existing?.schema?.hash !== chosen.schema?.hash || !isDeepStrictEqual(existing?.definition, definition);
  const service = { ...chosen, revision: isNew || existing === undefined ? change.revision : existing.revision };
  return existing !== undefined && isDeepStrictEqual(service, existing) ? existing : service;
}

function chooseSchema(change: ServiceChange, bare: Service): Service {
  const { existing, asked, retry } = change;
  const endpoint = change.definition.graphql;
  if (endpoint === undefined) return bare;
  const isSame = existing !== undefined && isSameEndpoint(existing.definition.graphql, endpoint);
  const known = isSame ? withPresentVersions({ ...bare, ...pickSchema(existing) }) : bare;
  const given = buildGivenSchema(endpoint);
  // Nobody could be asked: what is known stays, unless it is known of another endpoint.
  if (given === null && asked.length === 0) return known;
  const isSameMerge = isDeepStrictEqual(existing?.definition.graphql?.merge, endpoint.merge);
  const base = retry || !isSameMerge ? withoutKeys(known, 'rejected') : known;
  const fresh = given === null ? asked.reduce(withVersionSchema, base) : takeGiven(base, given);
  const isKnown = existing?.schema?.hash === fresh.schema?.hash;
  const quarantine = isKnown && isSameMerge && !retry ? (existing?.quarantine ?? null) : null;
  const isRejected = asked.some(({ schema }) => schema.hash === fresh.rejected?.schema.hash) || given !== null;
  return { ...(isRejected ? fresh : withoutKeys(fresh, 'rejected')), quarantine };
}

/** A schema that the definition brings along, unless it is the one that does not compose. */
function takeGiven(base: Service, given: ServiceSchema): Service {
  const service = withoutKeys(base, 'versions', 'schemaVersion');
  if (given.hash === base.rejected?.schema.hash) return service;
  const isKnown = base.schema?.hash === given.hash && base.schema.source === given.source;
  return { ...withoutKeys(service, 'rejected'), schema: isKnown ? base.schema : given };
}

function pickSchema({ schema, quarantine, rejected, versions, schemaVersion }: Service) {
  return {
    schema,
    quarantine,
    ...(rejected !== undefined && { rejected }),
    ...(versions !== undefined && { versions }),
    ...(schemaVersion !== undefined && { schemaVersion }),
  };
}

/** The schema that a definition brings along, or null. */
export function buildGivenSchema({ schema, kind, merge }: GraphqlEndpoint): ServiceSchema | null {
  if (schema === undefined) return null;
  const isFederation = kind === undefined ? merge === undefined && looksFederated(schema) : kind === 'federation';
  return buildServiceSchema(isFederation ? 'federation' : 'plain', schema, 'registration');
}

/** Stitching directives have `@key` too, but with `selectionSet:`. */
function looksFederated(sdl: string): boolean {
  return /specs\.apollo\.dev\/federation\/|@(key|requires|provides)\s*\(\s*fields\s*:/.test(sdl);
}

/** Whether two endpoints have the same schema, as far as one can know without asking. */
function isSameEndpoint(a: GraphqlEndpoint | undefined, b: GraphqlEndpoint | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (a.path ?? '/graphql') === (b.path ?? '/graphql') && a.kind === b.kind;
}

/** Whether an answer that was asked of this endpoint is still the schema of the service. */
export function isAskedOf(service: Service, endpoint: GraphqlEndpoint | undefined): boolean {
  const { graphql } = service.definition;
  return graphql !== undefined && graphql.schema === undefined && isSameEndpoint(graphql, endpoint);
}

/** Those that the definition names, those that registered themselves and have not been named, and those that were found. */
function buildInstances(definition: ServiceDefinition, existing: Service | undefined): readonly Instance[] {
  const known = new Map(existing?.instances.map((instance) => [instance.id, instance]));
  const named = (definition.instances ?? []).map((entry): Instance => {
    const id = buildStaticId(entry);
    const url = buildOrigin(entry.url);
    const before = known.get(id);
    return {
      id,
      url,
      weight: entry.weight ?? 1,
      ...(entry.zone !== undefined && { zone: entry.zone }),
      ...(entry.version !== undefined && { version: entry.version }),
      origin: 'static',
      draining: before?.origin === 'static' && before.url === url && before.draining,
    };
  });
  const ids = new Set(named.map((instance) => instance.id));
  const leased = (existing?.instances ?? []).filter(({ id, origin }) => origin === 'lease' && !ids.has(id));
  const found = (existing?.instances ?? []).filter(({ origin }) => origin === 'discovered');
  return [...named, ...leased, ...keepDiscovered(definition, [...named, ...leased], found)];
}
