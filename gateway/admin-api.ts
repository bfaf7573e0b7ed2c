/** What the calls of the admin API do. Shapes, errors and examples: docs/admin-api.md. */
import { toGatewayError } from '../policies/errors.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import { describeGeneration } from '../subgraphs/history.ts';
import { assertMayChange, assertMayChangeAll } from './admin-access.ts';
import { type AdminApiKeyOptions, deleteApiKey, listApiKeys, postApiKey } from './admin-api-keys.ts';
import { postExplain } from './admin-explain.ts';
import { rollBack, showGeneration, showGraph, showUsage } from './admin-graph.ts';
import { listMirrors } from './admin-mirrors.ts';
import { listOwnRoutes, type OwnRouteView } from './admin-own-routes.ts';
import {
  type AdminPolicyOptions,
  deletePolicy,
  listPolicies,
  putPolicy,
  rollBackPolicy,
  showPolicy,
  showPolicyHistory,
} from './admin-policies.ts';
import { isRecord, ok } from './admin-request.ts';
import { type AdminRevocationOptions, deleteRevocation, listRevocations, postRevocation } from './admin-revocations.ts';
import { listRoutes, showRouteUsage } from './admin-routes.ts';
import type { AdminAnswer, AdminEndpoint, AdminRequest } from './admin-server.ts';
import {
  type AdminServiceOptions,
  checkHealth,
  deleteService,
  drainInstance,
  listServices,
  putInstance,
  putService,
  putServices,
  removeInstance,
  showService,
} from './admin-services.ts';
import { buildInvalidation } from './cache-invalidation.ts';
import type { Metrics } from './metrics.ts';
import type { RouteTable } from './route-table.ts';
import type { RouteUsage } from './route-usage.ts';
import type { Serving } from './serving-contract.ts';

export interface AdminApiOptions extends AdminServiceOptions, AdminPolicyOptions {
  readonly serving: AdminServiceOptions['serving'] &
    Pick<Serving, 'mirrors' | 'openapi' | 'applied' | 'renderMetrics' | 'invalidate' | 'explain'>;
  readonly metrics: Metrics;
  readonly usage: FieldUsage;
  readonly routeUsage: RouteUsage;
  readonly revocation: AdminRevocationOptions;
  readonly apiKeys: AdminApiKeyOptions;
  readonly routes: () => RouteTable;
  readonly ownRoutes: () => OwnRouteView;
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
    on('GET', '/graph/usage', (request) => showUsage(options.usage, request)),
    on('POST', '/cache/invalidate', (request) => invalidateCache(options, request)),
    on('GET', '/routes', () => listRoutes(routes(), listOwnRoutes(options.ownRoutes()))),
    on('GET', '/routes/usage', () => showRouteUsage(routes(), options.routeUsage)),
    on('GET', '/mirrors', (request) => listMirrors(serving, request)),
    on('GET', '/mirrors/:service', (request) => listMirrors(serving, request)),
    on('GET', '/openapi.json', async () => ok(await serving.openapi())),
    on('POST', '/explain', (request) => postExplain(serving.explain, request)),
    on('GET', '/policies', () => listPolicies(options)),
    on('GET', '/policies/:name', (request) => showPolicy(options, request)),
    on('PUT', '/policies/:name', (request) => putPolicy(options, request)),
    on('DELETE', '/policies/:name', (request) => deletePolicy(options, request)),
    on('GET', '/policies/:name/history', (request) => showPolicyHistory(options, request)),
    on('POST', '/policies/:name/rollback', (request) => rollBackPolicy(options, request)),
    on('POST', '/revocations', (request) => postRevocation(options.revocation, request)),
    on('GET', '/revocations', (request) => listRevocations(options.revocation, request)),
    on('DELETE', '/revocations/:id', (request) => deleteRevocation(options.revocation, request)),
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

function listCalls(endpoints: readonly AdminEndpoint[]): AdminAnswer {
  return ok({ calls: endpoints.map(({ method, path }) => `${method} ${path}`) });
}

async function invalidateCache(
  { serving, registry, routes }: AdminApiOptions,
  request: AdminRequest,
): Promise<AdminAnswer> {
  const known = registry.snapshot.services.map(({ name }) => name);
  const { tags, services } = buildInvalidation(request.body, { targets: routes().targets, services: known });
  if (services === 'all') assertMayChangeAll(request.administrator);
  else for (const name of services) assertMayChange(request.administrator, name);
  const invalidated = await serving.invalidate(tags);
  return ok(tags === 'all' ? { all: true } : { invalidated });
}

async function showMetrics(serving: AdminApiOptions['serving']): Promise<AdminAnswer> {
  const { contentType, body } = await serving.renderMetrics();
  return { status: 200, headers: { 'content-type': contentType }, body };
}
