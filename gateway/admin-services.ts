/** The calls on services and their instances. */
import { GatewayError } from '../policies/errors.ts';
import type { Admission } from '../schema/admission.ts';
import type { InstanceDiscovery } from '../subgraphs/discovery/instance-discovery.ts';
import type { Registry } from '../subgraphs/registry.ts';
import { findService, type Service } from '../subgraphs/snapshot.ts';
import { assertMayChange, assertMayChangeAll } from './admin-access.ts';
import { describeChange } from './admin-graph.ts';
import { authorOf, changeAuthorOf, isRecord, isSet, ok, parameter } from './admin-request.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';
import type { Serving } from './serving-contract.ts';

export interface AdminServiceOptions {
  readonly registry: Registry<Admission>;
  readonly serving: Pick<Serving, 'status' | 'poolHealth' | 'serviceBreaker' | 'probe'>;
  readonly discovery: Pick<InstanceDiscovery, 'status'>;
}

/** `PUT /services/{name}`. */
export async function putService({ registry }: AdminServiceOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  const by = changeAuthorOf(request);
  const { dryRun } = by;
  const outcome = await registry.putService(name, request.body, by);
  const { created, service, unasked } = outcome;
  return {
    status: created && !dryRun ? 201 : 200,
    headers: { etag: `"${service.revision}"` },
    body: {
      service: name,
      created,
      dryRun,
      schema: service.schema === null ? null : { kind: service.schema.kind, hash: service.schema.hash },
      ...(unasked !== null && { unasked }),
      ...describeChange(registry, outcome),
    },
  };
}

/** `PUT /services`. */
export async function putServices({ registry }: AdminServiceOptions, request: AdminRequest): Promise<AdminAnswer> {
  const { services, mode } = parseServicesBody(request.body);
  if (mode === 'replace') assertMayChangeAll(request.administrator);
  for (const name of Object.keys(services)) assertMayChange(request.administrator, name);
  const dryRun = isSet(request.query.get('dryRun'));
  const outcome = await registry.putServices(services, mode, { ...authorOf(request), dryRun });
  const { created, removed } = outcome;
  return ok({ services: Object.keys(services), created, removed, dryRun, ...describeChange(registry, outcome) });
}

/** The body of `PUT /services`; the definitions themselves are checked by the registry. */
function parseServicesBody(body: unknown): { services: Record<string, unknown>; mode: 'merge' | 'replace' } {
  const { services, mode = 'merge', ...rest } = isRecord(body) ? body : {};
  if (!isRecord(services) || (mode !== 'merge' && mode !== 'replace') || Object.keys(rest).length > 0) {
    const expected = '{ "services": { NAME: DEFINITION }, "mode": "merge" or "replace" }';
    throw new GatewayError('BAD_REQUEST', `The body must be ${expected}`);
  }
  return { services, mode };
}

/** `DELETE /services/{name}`. */
export async function deleteService({ registry }: AdminServiceOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.deleteService(name, { ...authorOf(request), ifMatch: request.ifMatch });
  return { status: 204 };
}

/** `PUT /services/{name}/instances/{id}`. */
export async function putInstance({ registry }: AdminServiceOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  const id = parameter(request, 'id');
  assertMayChange(request.administrator, name);
  const outcome = await registry.putInstance(name, id, request.body, authorOf(request));
  return {
    status: outcome.created ? 201 : 200,
    body: { service: name, instance: outcome.instance, ...describeChange(registry, outcome) },
  };
}

/** `POST /services/{name}/instances/{id}/drain`. */
export async function drainInstance({ registry }: AdminServiceOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.drainInstance(name, parameter(request, 'id'), authorOf(request));
  return ok({ service: name, id: parameter(request, 'id'), draining: true });
}

/** `DELETE /services/{name}/instances/{id}`. */
export async function removeInstance({ registry }: AdminServiceOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.deleteInstance(name, parameter(request, 'id'), authorOf(request));
  return { status: 204 };
}

/** `POST /services/{name}/health-check`. */
export async function checkHealth(
  { registry, serving }: AdminServiceOptions,
  request: AdminRequest,
): Promise<AdminAnswer> {
  const service = requireService(registry, parameter(request, 'name'));
  assertMayChange(request.administrator, service.name);
  return ok({ service: service.name, instances: await serving.probe(service.name) });
}

/** `GET /services`. */
export async function listServices(options: AdminServiceOptions): Promise<AdminAnswer> {
  const { revision, services } = options.registry.snapshot;
  return ok({ revision, services: await Promise.all(services.map((service) => describeService(options, service))) });
}

/** `GET /services/{name}`. */
export async function showService(options: AdminServiceOptions, request: AdminRequest): Promise<AdminAnswer> {
  const service = requireService(options.registry, parameter(request, 'name'));
  return { status: 200, headers: { etag: `"${service.revision}"` }, body: await describeService(options, service) };
}

function requireService(registry: Registry<Admission>, name: string): Service {
  const service = findService(registry.snapshot, name);
  if (service === undefined) throw new GatewayError('ROUTE_NOT_FOUND', `There is no service ${JSON.stringify(name)}`);
  return service;
}

async function describeService({ registry, serving, discovery }: AdminServiceOptions, service: Service) {
  const { name, definition, schema, quarantine, rejected, versions, revision, origin } = service;
  const instances = (await serving.status(name)).map((status) => {
    const leaseRemainingSeconds = registry.leaseRemainingSeconds(name, status.id);
    return leaseRemainingSeconds === null
      ? status
      : {
          ...status,
          leaseRemainingSeconds: Math.round(leaseRemainingSeconds * 10) / 10,
          ...(registry.isSuspect(name, status.id) && { suspect: true }),
        };
  });
  return {
    name,
    origin,
    revision,
    definition,
    schema:
      schema === null
        ? null
        : { kind: schema.kind, hash: schema.hash, source: schema.source, length: schema.sdl.length },
    quarantine,
    ...(rejected !== undefined && { rejected: { schema: rejected.schema.hash, reasons: rejected.reasons } }),
    ...(versions !== undefined && {
      versions: versions.map((entry) => ({ version: entry.version, schema: entry.schema.hash })),
    }),
    health: serving.poolHealth(name) ?? null,
    breaker: await serving.serviceBreaker(name),
    instances,
    ...(definition.discovery !== undefined && { discovery: discovery.status(name) }),
  };
}
