/** What the calls of the admin API do. Shapes, errors and examples: docs/admin-api.md. */
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { Admission } from '../schema/admission.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Author } from '../subgraphs/audit.ts';
import type { Change } from '../subgraphs/change.ts';
import type { InstanceDiscovery } from '../subgraphs/discovery/instance-discovery.ts';
import { describeGeneration, findGeneration, restoreParts } from '../subgraphs/history.ts';
import type { Registry } from '../subgraphs/registry.ts';
import { findService, type Service } from '../subgraphs/snapshot.ts';
import { assertMayChange, assertMayChangeAll } from './admin-access.ts';
import { type AdminApiKeyOptions, deleteApiKey, listApiKeys, postApiKey } from './admin-api-keys.ts';
import { type AdminRevocationOptions, postRevocation } from './admin-revocations.ts';
import type { AdminAnswer, AdminEndpoint, AdminRequest } from './admin-server.ts';
import { buildInvalidation } from './cache-invalidation.ts';
import type { Metrics } from './metrics.ts';
import type { RouteTable } from './route-table.ts';
import type { Serving } from './serving.ts';

export interface AdminApiOptions {
  readonly registry: Registry<Admission>;
  readonly serving: Pick<
    Serving,
    'applied' | 'status' | 'poolHealth' | 'serviceBreaker' | 'probe' | 'renderMetrics' | 'invalidate'
  >;
  readonly discovery: Pick<InstanceDiscovery, 'status'>;
  readonly metrics: Metrics;
  readonly usage: FieldUsage;
  readonly revocation: AdminRevocationOptions;
  readonly apiKeys: AdminApiKeyOptions;
  readonly routes: () => RouteTable;
}

type Handler = AdminEndpoint['handle'];

/** Every call, in the order of docs/admin-api.md. */
export function buildAdminEndpoints(options: AdminApiOptions): readonly AdminEndpoint[] {
  const { registry, serving, metrics, routes } = options;
  const on = (method: AdminEndpoint['method'], path: string, handle: Handler): AdminEndpoint => ({
    method,
    path,
    handle: method === 'GET' ? handle : applied(serving, handle),
  });
  /** Registrations are counted by what became of them. */
  const counted =
    (handle: Handler): Handler =>
    async (request) => {
      try {
        const answer = await handle(request);
        metrics.observeRegistration('accepted');
        return answer;
      } catch (thrown) {
        metrics.observeRegistration(toGatewayError(thrown).code);
        throw thrown;
      }
    };
  const endpoints: readonly AdminEndpoint[] = [
    on('GET', '/', () => listCalls(endpoints)),
    on(
      'PUT',
      '/services/:name',
      counted((request) => putService(options, request)),
    ),
    on(
      'PUT',
      '/services',
      counted((request) => putServices(options, request)),
    ),
    on('GET', '/services', () => listServices(options)),
    on('GET', '/services/:name', (request) => showService(options, request)),
    on('DELETE', '/services/:name', (request) => deleteService(options, request)),
    on(
      'PUT',
      '/services/:name/instances/:id',
      counted((request) => putInstance(options, request)),
    ),
    on('POST', '/services/:name/instances/:id/drain', (request) => drainInstance(options, request)),
    on('DELETE', '/services/:name/instances/:id', (request) => removeInstance(options, request)),
    on('POST', '/services/:name/health-check', (request) => checkHealth(options, request)),
    on('GET', '/graph', () => showGraph(registry)),
    on('GET', '/graph/sdl', () => ok(registry.admission.graph.publicSdl)),
    on('GET', '/graph/supergraph', () => ok(registry.admission.graph.supergraphSdl)),
    on('GET', '/graph/history', () => ok({ generations: registry.history().map(describeGeneration).toReversed() })),
    on('GET', '/graph/history/:id', (request) => showGeneration(registry, request)),
    on('POST', '/graph/rollback', (request) => rollBack(registry, request)),
    on('GET', '/graph/usage', (request) => showUsage(options, request)),
    on('POST', '/cache/invalidate', (request) => invalidateCache(options, request)),
    on('GET', '/routes', () =>
      ok({ routes: routes().targets.map(({ label, service, route }) => ({ label, service, ...route })) }),
    ),
    on('POST', '/revocations', (request) => postRevocation(options.revocation, request)),
    on('POST', '/api-keys', (request) => postApiKey(options.apiKeys, request)),
    on('GET', '/api-keys', (request) => listApiKeys(options.apiKeys, request)),
    on('DELETE', '/api-keys/:name', (request) => deleteApiKey(options.apiKeys, request)),
    on('GET', '/audit', () => ok({ entries: registry.audit() })),
    on('GET', '/metrics', () => showMetrics(serving)),
  ];
  return endpoints;
}

/** Whoever hears that a change was made finds it made, whichever worker is asked next. A mere heartbeat waits for none. */
function applied(serving: AdminApiOptions['serving'], handle: Handler): Handler {
  return async (request) => {
    const answer = await handle(request);
    if (!isRecord(answer.body) || answer.body['changed'] !== false) await serving.applied();
    return answer;
  };
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
  const dryRun = isSet(request.query.get('dryRun'));
  const by = { ...authorOf(request), dryRun, ifMatch: request.ifMatch };
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

/** Who does it, and why: in the query or in `x-reason`. */
function authorOf({ administrator, query, reason }: AdminRequest): Author {
  const said = query.get('reason') ?? reason;
  return said === undefined || said === '' ? { name: administrator.name } : { name: administrator.name, reason: said };
}

/** A flag of the query: present, and not switched off. */
function isSet(value: string | null): boolean {
  return value !== null && value !== '0' && value !== 'false';
}

type Outcome = Pick<Change<Admission>, 'changed' | 'graphChanged' | 'admission'>;

function describeChange(registry: Registry<Admission>, { changed, graphChanged, admission }: Outcome) {
  const { revision } = registry.snapshot;
  return { changed, revision, graph: admission.graph.id, changes: graphChanged ? admission.changes : [] };
}

async function putServices({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function deleteService({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.deleteService(name, { ...authorOf(request), ifMatch: request.ifMatch });
  return { status: 204 };
}

async function putInstance({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  const id = parameter(request, 'id');
  assertMayChange(request.administrator, name);
  const outcome = await registry.putInstance(name, id, request.body, authorOf(request));
  return {
    status: outcome.created ? 201 : 200,
    body: { service: name, instance: outcome.instance, ...describeChange(registry, outcome) },
  };
}

async function drainInstance({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.drainInstance(name, parameter(request, 'id'), authorOf(request));
  return ok({ service: name, id: parameter(request, 'id'), draining: true });
}

async function removeInstance({ registry }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const name = parameter(request, 'name');
  assertMayChange(request.administrator, name);
  await registry.deleteInstance(name, parameter(request, 'id'), authorOf(request));
  return { status: 204 };
}

async function checkHealth({ registry, serving }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const service = requireService(registry, parameter(request, 'name'));
  assertMayChange(request.administrator, service.name);
  return ok({ service: service.name, instances: await serving.probe(service.name) });
}

async function listServices(options: AdminApiOptions): Promise<AdminAnswer> {
  const { revision, services } = options.registry.snapshot;
  return ok({ revision, services: await Promise.all(services.map((service) => describeService(options, service))) });
}

async function showService(options: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const service = requireService(options.registry, parameter(request, 'name'));
  return { status: 200, headers: { etag: `"${service.revision}"` }, body: await describeService(options, service) };
}

function requireService(registry: Registry<Admission>, name: string): Service {
  const service = findService(registry.snapshot, name);
  if (service === undefined) throw new GatewayError('ROUTE_NOT_FOUND', `There is no service ${JSON.stringify(name)}`);
  return service;
}

async function describeService({ registry, serving, discovery }: AdminApiOptions, service: Service) {
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

function showGraph(registry: Registry<Admission>): AdminAnswer {
  const { graph } = registry.admission;
  return ok({
    id: graph.id,
    generation: registry.history().at(-1)?.number ?? null,
    revision: registry.snapshot.revision,
    services: graph.services,
    quarantined: registry.snapshot.services.flatMap(describeQuarantine),
  });
}

/** What of a service is kept out of the graph, why, and what serves instead. */
function describeQuarantine({ name, quarantine, rejected, schema }: Service) {
  if (quarantine !== null) return [{ service: name, serving: 'nothing', reasons: quarantine }];
  if (rejected === undefined) return [];
  const serving = schema === null ? 'nothing' : 'last good schema';
  return [{ service: name, serving, schema: rejected.schema.hash, reasons: rejected.reasons }];
}

function showGeneration(registry: Registry<Admission>, request: AdminRequest): AdminAnswer {
  const history = registry.history();
  const entry = findGeneration(history, parameter(request, 'id'));
  const parts = [...restoreParts(history, entry).values()];
  return ok({ ...describeGeneration(entry), parts });
}

async function rollBack(registry: Registry<Admission>, request: AdminRequest): Promise<AdminAnswer> {
  assertMayChangeAll(request.administrator);
  const { to, reason, force = false, ...rest } = isRecord(request.body) ? request.body : {};
  const isTarget = typeof to === 'string' || typeof to === 'number';
  const isReason = reason === undefined || typeof reason === 'string';
  if (!isTarget || !isReason || typeof force !== 'boolean' || Object.keys(rest).length > 0) {
    const expected = '{ "to": number or graph id, "reason": why, "force": true to break what is in use }';
    throw new GatewayError('BAD_REQUEST', `The body must be ${expected}`);
  }
  const dryRun = isSet(request.query.get('dryRun'));
  const author = { ...authorOf(request), ...(reason !== undefined && { reason }) };
  const outcome = await registry.rollback(to, { ...author, force, dryRun });
  const { generation, restored, recreated, takenOut, configured } = outcome;
  return ok({
    to: { number: generation.number, graph: generation.graph, at: generation.at },
    dryRun,
    restored,
    recreated,
    takenOut,
    configured,
    ...describeChange(registry, outcome),
  });
}

function showUsage({ usage }: AdminApiOptions, request: AdminRequest): AdminAnswer {
  const coordinate = request.query.get('field') ?? '';
  if (coordinate === '') throw new GatewayError('BAD_REQUEST', 'Say which: `?field=Type.field`');
  return ok({ field: coordinate, since: usage.since, usedBy: usage.users()(coordinate) });
}

async function invalidateCache({ serving }: AdminApiOptions, request: AdminRequest): Promise<AdminAnswer> {
  const { tags, services } = buildInvalidation(request.body);
  if (services === 'all') assertMayChangeAll(request.administrator);
  else for (const name of services) assertMayChange(request.administrator, name);
  const invalidated = await serving.invalidate(tags);
  return ok(tags === 'all' ? { all: true } : { invalidated });
}

async function showMetrics(serving: AdminApiOptions['serving']): Promise<AdminAnswer> {
  const { contentType, body } = await serving.renderMetrics();
  return { status: 200, headers: { 'content-type': contentType }, body };
}
