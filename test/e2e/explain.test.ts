import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

const key = 'a-key-that-nobody-must-see';
const sha256 = createHash('sha256').update(key).digest('hex');

function buildConfig(url: string, workers: number): GatewayConfig {
  return {
    workers,
    authentication: { apiKeys: [{ name: 'ada', sha256, scopes: ['orders:read'] }] },
    policies: {
      timeout: '4s',
      rateLimit: [{ name: 'per-viewer', limit: 600, window: '1m' }],
      named: {
        careful: {
          bind: { services: ['orders'], fields: ['Query.items'] },
          authorize: { scopes: ['orders:read'] },
          rateLimit: [{ name: 'per-viewer', limit: 60, window: '1m', key: ['viewer', 'route'] }],
        },
      },
    },
    services: {
      orders: {
        instances: [{ url }],
        timeout: '3s',
        routes: [
          { match: { path: '/orders/:id', methods: ['GET'] }, rewrite: '/v1/:id', timeout: '2s' },
          { match: { path: '/open' }, public: true },
        ],
      },
    },
  };
}

for (const workers of [1, 2]) {
  test(`explain says what would become of a request and why, without doing it (workers: ${workers})`, async (t) => {
    let asked = 0;
    const orders = await startServer(t, (_, response) => {
      asked++;
      response.end('ok');
    });
    const gateway = await startGateway(t, buildConfig(orders.url, workers));
    const explain = async (body: object) => (await gateway.admin('POST', '/explain', body)).body;
    const question = { method: 'get', path: '/orders/7?x=1', headers: { 'X-API-Key': key } };

    const answer = await explain(question);
    assert.deepEqual(answer.outcome, { passes: true });
    assert.deepEqual(answer.route, {
      label: 'GET /orders/:id',
      kind: 'service',
      service: 'orders',
      pathAtService: '/v1/7?x=1',
    });
    assert.deepEqual(answer.authentication, {
      outcome: 'accepted',
      viewer: { id: 'ada', kind: 'api-key', issuer: null, scopes: ['orders:read'], roles: [] },
    });
    const careful = { level: 'service', target: 'orders', policy: 'careful' };
    const [rule] = answer.rateLimits;
    assert.deepEqual([answer.rateLimits.length, rule.limit, rule.key], [1, 60, ['viewer', 'route']]);
    assert.deepEqual([rule.from, rule.overrode], [careful, [{ level: 'gateway', target: 'gateway', policy: null }]]);
    const access = answer.policies.find(({ kind }: { kind: string }) => kind === 'access');
    assert.deepEqual(access, {
      kind: 'access',
      value: { authorize: { scopes: ['orders:read'] } },
      from: careful,
      overrode: [],
    });
    const timeout = answer.calls.find(({ kind }: { kind: string }) => kind === 'timeout');
    assert.deepEqual([timeout.value, timeout.from.level, timeout.overrode[0].level], ['3s', 'service', 'gateway']);
    assert.doesNotMatch(JSON.stringify(answer), new RegExp(`${key}|${sha256}`));

    const anonymous = await explain({ ...question, headers: {} });
    assert.equal(anonymous.outcome.refusal.code, 'UNAUTHENTICATED');
    assert.deepEqual([anonymous.authentication.outcome, anonymous.access.granted], ['anonymous', false]);
    const wrong = await explain({ ...question, headers: { 'x-api-key': 'another-key' } });
    assert.deepEqual([wrong.authentication.outcome, wrong.outcome.refusal.status], ['refused', 401]);
    assert.deepEqual((await explain({ path: '/open' })).outcome, { passes: true });
    assert.equal((await explain({ path: '/nowhere' })).outcome.refusal.code, 'ROUTE_NOT_FOUND');
    assert.equal((await explain({ ...question, method: 'PUT' })).outcome.refusal.code, 'METHOD_NOT_ALLOWED');
    assert.equal((await gateway.admin('POST', '/explain', { path: 7 })).status, 400);
    assert.equal(asked, 0, 'no service was asked');
    // What is explained is not counted.
    const real = await fetch(`${gateway.url}/orders/7`, { headers: { 'x-api-key': key } });
    assert.match(real.headers.get('ratelimit') ?? '', /"per-viewer";r=59/);
  });

  test(`explain tells cost, depth, authorization and the order of services of an operation (workers: ${workers})`, async (t) => {
    const orders = await startServer(t, (_, response) => response.end('ok'));
    const gateway = await startGateway(t, buildConfig(orders.url, workers));
    const items = await startSubgraph(
      t,
      'type Query { items(first: Int): [Item] } type Item @key(fields: "id") { id: ID name: String }',
      { Query: { items: () => [] } },
    );
    const stock = await startSubgraph(t, 'type Item @key(fields: "id") { id: ID stock: Int } type Query { x: Int }');
    await registerGraphql(gateway, 'items', items.url);
    await registerGraphql(gateway, 'stock', stock.url);
    const explain = async (body: object) => (await gateway.admin('POST', '/explain', body)).body;
    const before = items.requests.length;

    const question = { query: 'query Q($n: Int) { items(first: $n) { name stock } }', variables: { n: 5 } };
    const answer = await explain({ ...question, headers: { 'x-api-key': key } });
    assert.deepEqual(answer.outcome, { passes: true });
    assert.deepEqual([answer.operation, answer.cost, answer.depth], ['query Q', 5, 2]);
    assert.equal(answer.execution.engine, 'planned');
    assert.deepEqual(answer.execution.plan, {
      sequence: [
        { ask: 'items', kind: 'root' },
        { ask: 'stock', kind: 'entities' },
      ],
    });
    assert.deepEqual(Object.keys(answer.calls), ['items', 'stock']);
    const [root] = answer.fields;
    assert.deepEqual([root.field, root.services, root.rateLimits[0].limit], ['Query.items', ['items'], 60]);
    assert.equal(root.policies[0].from.policy, 'careful');
    assert.equal(items.requests.length, before);

    const anonymous = await explain(question);
    assert.deepEqual([anonymous.access.granted, anonymous.outcome.refusal.code], [false, 'UNAUTHENTICATED']);
    const wrong = await explain({ query: '{ nothing }' });
    assert.equal(wrong.outcome.refusal.code, 'GRAPHQL_VALIDATION_FAILED');
    assert.match(wrong.mistakes[0], /Cannot query field "nothing"/);
    assert.equal((await explain({ query: '{' })).outcome.refusal.code, 'GRAPHQL_PARSE_FAILED');
  });
}

test('explain knows roles, expressions, filtered fields and the limits of classes', async (t) => {
  const orders = await startServer(t, (_, response) => response.end('ok'));
  const gateway = await startGateway(t, {
    authentication: { apiKeys: [{ name: 'ada', sha256, scopes: ['orders:read'] }] },
    authorization: { mode: 'filter' },
    graphql: { limits: { classes: [{ for: 'anonymous', depth: 1 }] } },
    services: {
      orders: {
        instances: [{ url: orders.url }],
        routes: [
          {
            match: { path: '/orders/*' },
            authorize: { expression: "request.path.startsWith('/orders/7') && viewer.id == 'ada'" },
          },
        ],
      },
    },
    fields: { 'Item.price': { authorize: { scopes: ['prices'] } } },
    types: { Item: { authorize: { authenticated: true }, cache: { ttl: '1m' } } },
  });
  const subgraph = await startSubgraph(t, 'type Query { items: [Item!]! } type Item { name: String price: Int }', {
    Query: { items: () => [] },
  });
  await registerGraphql(gateway, 'items', subgraph.url);
  const explain = async (body: object) => (await gateway.admin('POST', '/explain', body)).body;
  const headers = { 'x-api-key': key };
  const passes = async (path: string) => (await explain({ method: 'GET', path, headers })).outcome.passes;
  assert.equal(await passes('/orders/7?x=1'), true);
  assert.equal(await passes('/orders/8'), false);
  const filtered = await explain({ query: '{ items { name price } }', headers });
  assert.deepEqual(filtered.access, { granted: true, filtered: true });
  const [items, name] = filtered.fields;
  const kinds = items.ofReturnedType.map(({ kind, from }: { kind: string; from: object }) => [kind, from]);
  const from = { level: 'type', target: 'Item', policy: null };
  assert.deepEqual(
    [items.field, kinds],
    [
      'Query.items',
      [
        ['access', from],
        ['cache', from],
      ],
    ],
  );
  assert.equal(name.ofReturnedType, undefined);
  const anonymous = await explain({ query: '{ items { name } }' });
  assert.equal(anonymous.limits.class, 'anonymous');
  assert.equal(anonymous.outcome.refusal.code, 'OPERATION_TOO_DEEP');
});

test('explain tells what holds for heads of messages at each door, and what adds up', async (t) => {
  const rule = (name: string) => ({ request: [{ set: name, value: '1' }], response: [{ set: name, value: '1' }] });
  const gateway = await startGateway(t, {
    loadShedding: { maxEventLoopDelay: '10s', graphql: 'high' },
    policies: {
      priority: 'low',
      headers: rule('x-gateway'),
      cors: { origins: ['https://all.example'] },
      csrf: {},
      cookies: { secure: true },
      named: { named: { bind: { services: ['shop'] }, headers: rule('x-named') } },
    },
    graphql: { headers: rule('x-graphql'), cors: { origins: ['https://app.example'], credentials: true } },
    services: {
      shop: {
        instances: [{ url: 'http://127.0.0.1:9' }],
        graphql: { kind: 'plain', schema: 'type Query { a: Int }' },
        headers: rule('x-service'),
        routes: [{ match: { path: '/a' }, headers: rule('x-route') }],
      },
    },
  });
  const explain = async (body: object) => (await gateway.admin('POST', '/explain', body)).body;
  type Told = { kind: string; value: unknown; from: object; overrode: object[]; joined?: object[] };
  const find = (kinds: Told[], kind: string) => kinds.find((entry) => entry.kind === kind);
  const names = (told: Told | undefined, direction: string) =>
    ((told?.value ?? {}) as Record<string, { set: string }[] | undefined>)[direction]?.map(({ set }) => set) ?? [];
  const at = (level: string, target: string, policy: string | null = null) => ({ level, target, policy });

  const route = find((await explain({ path: '/a' })).policies, 'headers');
  const ofRoute = ['x-gateway', 'x-named', 'x-service', 'x-route'];
  assert.deepEqual([names(route, 'request'), names(route, 'response')], [ofRoute, ofRoute]);
  assert.deepEqual(route?.from, at('route', 'shop ANY /a'));
  const general = [at('service', 'shop'), at('service', 'shop', 'named'), at('gateway', 'gateway')];
  assert.deepEqual([route?.overrode, route?.joined], [[], general]);
  const page = { origin: 'https://evil.example', cookie: 'a=1', host: 'shop.example' };
  const forged = await explain({ method: 'POST', path: '/a', headers: page });
  assert.equal(forged.outcome.refusal?.code, 'FORBIDDEN');

  const operation = await explain({ query: '{ a }' });
  assert.deepEqual(operation.policies.map(({ kind }: Told) => kind).sort(), ['cors', 'csrf', 'headers', 'priority']);
  const cors = find(operation.policies, 'cors');
  assert.deepEqual(cors?.value, { origins: ['https://app.example'], credentials: true });
  assert.deepEqual([cors?.from, cors?.overrode], [at('gateway', 'graphql'), [at('gateway', 'gateway')]]);
  assert.equal(find(operation.policies, 'priority')?.value, 'high');
  const answers = find(operation.policies, 'headers');
  assert.deepEqual([names(answers, 'request'), names(answers, 'response')], [[], ['x-gateway', 'x-graphql']]);
  const calls = find(operation.calls.shop, 'headers');
  const ofCall = ['x-gateway', 'x-graphql', 'x-named', 'x-service'];
  assert.deepEqual([names(calls, 'request'), names(calls, 'response')], [ofCall, []]);
});
