import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startJson, startShop } from './fixture.ts';

const key = 'a-key-that-nobody-must-see';
const ada = { 'x-api-key': key };

async function start(t: TestContext, workers = 1) {
  const folder = await mkdtemp(join(tmpdir(), 'explained-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const users = await startJson(t, () => ({ id: 1 }));
  const gateway = await startShop(t, {
    workers,
    authentication: {
      apiKeys: [{ name: 'ada', sha256: createHash('sha256').update(key).digest('hex'), scopes: ['users:read'] }],
    },
    policies: {
      securityHeaders: { preset: 'recommended' },
      rateLimit: [{ name: 'per-viewer', limit: 600, window: '1m' }],
      named: { slow: { bind: { gateway: true }, priority: 'low' } },
    },
    openapi: {},
    static: [
      { path: '/*', folder },
      { path: '/app/*', folder, securityHeaders: { preset: 'none' }, authorize: { authenticated: true } },
    ],
    aggregate: {
      '/overview/:id': {
        parts: {
          user: { service: 'users', path: '/users/:id?page={query.page}' },
          more: { service: 'users', path: '/more/{user.id}', optional: true },
        },
        rateLimit: [{ name: 'per-viewer', limit: 60, window: '1m' }],
      },
    },
    rest: {
      'GET /rest/orders/:id': {
        document: 'query Order($id: ID!, $first: Int!) { order(id: $id) { id items(first: $first) { name } } }',
        authorize: { scopes: ['users:read'] },
      },
      'POST /rest/orders': {
        document: 'mutation Place($input: NewOrder!) { placeOrder(input: $input) { id } }',
      },
      'GET /rest/gone': { document: '{ nothingOfTheKind }' },
    },
    services: {
      users: {
        instances: [{ url: users.url }],
        timeout: '3s',
        authorize: { scopes: ['users:read'] },
        routes: [{ match: { path: '/users/*' } }, { match: { path: '/app/api/*' }, public: true }],
      },
    },
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  const explain = async (path: string, headers = {}, method = 'GET'): Promise<any> =>
    (await gateway.admin('POST', '/explain', { method, path, headers })).body;
  return { ...gateway, users, explain };
}

interface Kind {
  readonly kind: string;
  readonly value: unknown;
  readonly from: { readonly level: string; readonly target: string; readonly policy: string | null };
  readonly overrode: readonly unknown[];
}

const kindOf = (answer: { readonly policies: readonly Kind[] }, name: string) =>
  answer.policies.find(({ kind }) => kind === name);

describe('explain', () => {
  it('says which folder takes a path, and what holds there by whom', async (t) => {
    const { explain } = await start(t);
    const refused = await explain('/app/orders/7');
    assert.deepEqual(refused.route, { label: 'GET /app/*', kind: 'static', service: null, pathAtService: null });
    assert.deepEqual([refused.outcome.passes, refused.outcome.refusal.code], [false, 'UNAUTHENTICATED']);
    const granted = await explain('/app/orders/7', ada);
    assert.deepEqual([granted.outcome, granted.access], [{ passes: true }, { granted: true }]);
    const gateway = { level: 'gateway', target: 'gateway', policy: null };
    assert.deepEqual(kindOf(granted, 'securityHeaders'), {
      kind: 'securityHeaders',
      value: { preset: 'none' },
      from: { level: 'route', target: 'GET /app/*', policy: null },
      overrode: [gateway],
    });
    assert.deepEqual(kindOf(granted, 'priority')?.from, { ...gateway, policy: 'slow' });
    assert.deepEqual([granted.rateLimits[0].limit, granted.rateLimits[0].from], [600, gateway]);
    // A route of a service comes before folders, and one folder before the other.
    assert.equal((await explain('/app/api/1')).route.service, 'users');
    assert.equal((await explain('/else')).route.label, 'GET /*');
    const posted = await explain('/else', {}, 'post');
    assert.deepEqual([posted.route, posted.outcome.refusal.code], [null, 'METHOD_NOT_ALLOWED']);
    assert.deepEqual((await explain('/else', {}, 'OPTIONS')).outcome, { passes: true });
    assert.equal((await explain('/health/ready')).route.kind, 'health');
    assert.equal((await explain('/openapi.json')).route.kind, 'openapi');
    assert.match((await explain('/graphql')).outcome.refusal.message, /GraphQL door/);
    assert.equal((await explain('/app/%zz')).outcome.passes, false);
  });

  it('says whom an aggregate asks, for what, and whether it may, and asks nobody', async (t) => {
    const { explain, users, url } = await start(t);
    const answer = await explain('/overview/a%20b?page=2', ada);
    assert.deepEqual([answer.route.kind, answer.outcome, answer.calls], ['aggregate', { passes: true }, []]);
    assert.deepEqual(
      answer.parts.map(({ name, service, path, optional, access }: Record<string, unknown>) => [
        ...[name, service, path, optional, access],
      ]),
      [
        ['user', 'users', '/users/a%20b?page=2', false, { granted: true }],
        ['more', 'users', '/more/{user.id}', true, { granted: true }],
      ],
    );
    assert.equal(answer.parts[0].calls.find(({ kind }: Kind) => kind === 'timeout').value, '3s');
    const [rule] = answer.rateLimits;
    assert.deepEqual([answer.rateLimits.length, rule.limit, rule.overrode.length], [1, 60, 1]);
    const refused = await explain('/overview/1');
    assert.deepEqual([refused.access.granted, refused.parts[0].access.granted], [true, false]);
    assert.equal(refused.outcome.refusal.code, 'UNAUTHENTICATED');
    assert.equal(users.asked.length, 0);
    // As it is done.
    assert.equal((await fetch(`${url}/overview/1`)).status, 401);
    assert.equal((await fetch(`${url}/overview/1`, { headers: ada })).status, 200);
  });

  for (const workers of [1, 2]) {
    it(`says what REST from the graph asks the graph, and with which limits (workers: ${workers})`, async (t) => {
      const { explain } = await start(t, workers);
      const answer = await explain('/rest/orders/7?first=3', ada);
      assert.deepEqual([answer.route.kind, answer.outcome], ['rest', { passes: true }]);
      assert.equal(answer.operation.operation, 'query Order');
      assert.deepEqual(Object.keys(answer.operation.calls), ['orders']);
      assert.equal(answer.operation.fields[0].field, 'Query.order');
      // Limits of the gateway are asked for the operation, not twice.
      assert.deepEqual([answer.rateLimits.length, answer.operation.rateLimits[0].name], [0, 'per-viewer']);
      assert.equal(kindOf(answer, 'access')?.from.target, 'GET /rest/orders/:id');
      assert.equal((await explain('/rest/orders/7?first=3')).outcome.refusal.code, 'UNAUTHENTICATED');
      const misfit = await explain('/rest/orders/7?first=x', ada);
      assert.match(misfit.outcome.refusal.message, /query\.first: expected Int/);
      assert.equal(misfit.operation, null);
      assert.equal((await explain('/rest/gone')).outcome.refusal.code, 'ROUTE_DOES_NOT_FIT');
      const posted = await explain('/rest/orders', {}, 'POST');
      assert.deepEqual([posted.outcome, posted.operation.operation], [{ passes: true }, 'mutation Place']);
      assert.doesNotMatch(JSON.stringify(answer), new RegExp(key));
    });
  }
});
