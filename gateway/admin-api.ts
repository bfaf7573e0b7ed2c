/** What the calls of the admin API do. Shapes, errors and examples: docs/admin-api.md. */
import { GatewayError } from '../policies/errors.ts';
import type { Admission } from '../schema/admission.ts';
import { checkDefinition, checkDefinitions, checkInstance } from '../subgraphs/definition-check.ts';
import type { Registry, ServiceOutcome } from '../subgraphs/registry.ts';
import { findService, type Service } from '../subgraphs/snapshot.ts';
import type { Upstreams } from '../subgraphs/upstreams.ts';
import { assertMayChange, assertMayChangeAll } from './admin-access.ts';
import type { AdminAnswer, AdminEndpoint, AdminRequest } from './admin-server.ts';
import type { Metrics } from './metrics.ts';
import type { RouteTable } from './route-table.ts';

export interface AdminApiOptions {
  readonly registry: Registry<Admission>;
  readonly upstreams: Upstreams;
  readonly metrics: Metrics;
  readonly routes: () => RouteTable;
}

/** Every call, in the order of docs/admin-api.md. */
export function buildAdminEndpoints(options: AdminApiOptions): readonly AdminEndpoint[] {
  const { registry, upstreams, metrics, routes } = options;
  const endpoints: AdminEndpoint[] = [
    { method: 'GET', path: '/', handle: () => listCalls(endpoints) },
    { method: 'GET', path: '/services', handle: () => ok({ revision: registry.snapshot.revision, services: registry.snapshot.services.map((service) => describeService(options, service)) }) },
    { method: 'PUT', path: '/services', handle: (request) => replaceServices(options, request) },
    { method: 'GET', path: '/services/:name', handle: (request) => showService(options, request) },
    { method: 'PUT', path: '/services/:name', handle: (request) => putService(options, request) },
    { method: 'DELETE', path: '/services/:name', handle: (request) => deleteService(options, request) },
    { method: 'POST', path: '/services/:name/health-check', handle: (request) => checkHealth(options, request) },
    { method: 'PUT', path: '/services/:name/instances/:id', handle: (request) => putInstance(options, request) },
    { method: 'DELETE', path: '/services/:name/instances/:id', handle: (request) => removeInstance(options, request) },
    { method: 'POST', path: '/services/:name/instances/:id/drain', handle: (request) => drainInstance(options, request) },
    { method: 'GET', path: '/graph', handle: () => showGraph(registry) },
    { method: 'GET', path: '/graph/sdl', handle: () => ok(registry.admission.graph.publicSdl) },
    { method: 'GET', path: '/graph/supergraph', handle: () => ok(registry.admission.graph.supergraphSdl) },
    { method: 'GET', path: '/routes', handle: () => ok({ routes: routes().targets.map(({ label, service, route }) => ({ label, service, ...route })) }) },
    { method: 'GET', path: '/audit', handle: () => ok({ entries: registry.audit() }) },
    { method: 'GET', path: '/metrics', handle: () => showMetrics(metrics) },
  ];
  return endpoints;
}

function ok(body: unknown): AdminAnswer {
  return { status: 200, body };
}

function listCalls(endpoints: readonly AdminEndpoint[]): AdminAnswer {
  return ok({ calls: endpoints.map(({ method, path }) => `${method} ${path}`) });
}

function parameter({ parameters }: AdminRequest, name: string): string {
  return parameters[name] ?? '';
}

async function putService({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  const outcome = await registry.putService(name, checkDefinition(request.body), {
    author: request.administrator.name,
    dryRun: isSet(request.query.get('dryRun')),
    ...(request.ifMatch !== undefined && { ifMatch: request.ifMatch }),
  });
  return describeOutcome(registry, outcome);
}

/** A flag of the query: present, and not switched off. */
function isSet(value: string | null): boolean {
  return value !== null && value !== '0' && value !== 'false';
}

function describeOutcome(registry: Registry<Admission>, outcome: ServiceOutcome<Admission>): AdminAnswer {
  const { created, changed, dryRun, service, admission } = outcome;
  return {
    status: created && !dryRun ? 201 : 200,
    headers: { etag: `"${service.revision}"` },
    body: {
      service: service.name,
      created,
      changed,
      dryRun,
      schema: service.schema === null ? null : { kind: service.schema.kind, hash: service.schema.hash },
      revision: registry.snapshot.revision,
      graph: admission.graph.id,
      changes: changed ? admission.changes : [],
    },
  };
}

async function replaceServices({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const { services, mode } = checkDefinitions(request.body);
  if (mode === 'replace') assertMayChangeAll(request.administrator);
  for (const name of Object.keys(services)) assertMayChange(request.administrator, name);
  const { admission, changed, dryRun } = await registry.putServices(services, mode, {
    author: request.administrator.name,
    dryRun: isSet(request.query.get('dryRun')),
  });
  return ok({
    services: Object.keys(services),
    changed,
    dryRun,
    revision: registry.snapshot.revision,
    graph: admission.graph.id,
    changes: changed ? admission.changes : [],
  });
}

async function deleteService({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.deleteService(name, { author: request.administrator.name });
  return { status: 204 };
}

async function putInstance({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  const registration = checkInstance(request.body);
  const by = { author: request.administrator.name };
  const { created } = await registry.putInstance(name, parameter(request, 'id'), registration, by);
  return {
    status: created ? 201 : 200,
    body: { service: name, id: parameter(request, 'id'), leaseSeconds: registration.leaseSeconds ?? 30, graph: registry.admission.graph.id },
  };
}

async function drainInstance({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.drainInstance(name, parameter(request, 'id'), { author: request.administrator.name });
  return ok({ service: name, id: parameter(request, 'id'), draining: true });
}

async function removeInstance({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.deleteInstance(name, parameter(request, 'id'), { author: request.administrator.name });
  return { status: 204 };
}

async function checkHealth({ registry, upstreams }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const service = requireService(registry, parameter(request, 'name'));
  assertMayChange(request.administrator, service.name);
  return ok({ service: service.name, instances: await upstreams.probe(service.name) });
}

function showService(options: AdminApiOptions, request: AdminRequest): AdminAnswer {
  const service = requireService(options.registry, parameter(request, 'name'));
  return { status: 200, headers: { etag: `"${service.revision}"` }, body: describeService(options, service) };
}

function requireService(registry: Registry<Admission>, name: string): Service {
  const service = findService(registry.snapshot, name);
  if (service === undefined) throw new GatewayError('ROUTE_NOT_FOUND', `There is no service ${JSON.stringify(name)}`);
  return service;
}

function describeService({ registry, upstreams }: AdminApiOptions, service: Service) {
  const { name, definition, schema, quarantine, revision, origin } = service;
  const instances = upstreams.status(name).map((status) => {
    const leaseRemainingSeconds = registry.leaseRemainingSeconds(name, status.id);
    return leaseRemainingSeconds === undefined ? status : { ...status, leaseRemainingSeconds };
  });
  return {
    name,
    origin,
    revision,
    definition,
    schema: schema === null ? null : { kind: schema.kind, hash: schema.hash, source: schema.source, length: schema.sdl.length },
    quarantine,
    instances,
  };
}

function showGraph(registry: Registry<Admission>): AdminAnswer {
  const { graph } = registry.admission;
  const quarantined = registry.snapshot.services.filter(({ quarantine }) => quarantine !== null);
  return ok({
    id: graph.id,
    revision: registry.snapshot.revision,
    services: graph.services,
    quarantined: quarantined.map(({ name, quarantine }) => ({ service: name, reasons: quarantine })),
  });
}

async function showMetrics(metrics: Metrics): Promise<AdminAnswer> {
  const { contentType, body } = await metrics.render();
  return { status: 200, headers: { 'content-type': contentType }, body };
}
