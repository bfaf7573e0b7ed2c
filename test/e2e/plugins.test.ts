import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { definePlugin, type Plugin } from '../../gateway/plugin.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

const key = 'a key';
const never = new Promise<never>(() => {});

interface World {
  readonly gateway: TestGateway;
  /** Headers of every request that a service got. */
  readonly seen: Record<string, unknown>[];
  rest(path?: string, headers?: Record<string, string>): Promise<{ status: number; headers: Headers; body: string }>;
}

/** A gateway with a route and a graph, both in need of a viewer. */
async function startWorld(t: TestContext, plugins: GatewayConfig['plugins'], more: GatewayConfig = {}): Promise<World> {
  const seen: Record<string, unknown>[] = [];
  const rest = await startServer(t, (request, response) => {
    seen.push(request.headers);
    response
      .writeHead(200, { 'content-type': 'text/plain', 'x-service': 'yes', 'set-cookie': 'a=1' })
      .end('from the service');
  });
  const graph = await startSubgraph(t, 'type Query { a: Int b: Int }', { Query: { a: () => 1, b: () => 2 } });
  const gateway = await startGateway(t, {
    authentication: {
      required: true,
      apiKeys: [{ name: 'one', sha256: createHash('sha256').update(key).digest('hex'), scopes: ['read'] }],
    },
    services: {
      shop: {
        routes: [{ match: { path: '/shop/*' } }, { match: { path: '/open' }, public: true }],
        instances: [{ url: rest.url }],
      },
      graph: { graphql: { schema: 'type Query { a: Int b: Int }' }, instances: [{ url: graph.url }] },
    },
    ...(plugins && { plugins }),
    ...more,
  });
  return {
    gateway,
    seen,
    async rest(path = '/shop/1', headers = {}) {
      const response = await fetch(gateway.url + path, { headers: { 'x-api-key': key, ...headers } });
      return { status: response.status, headers: response.headers, body: await response.text() };
    },
  };
}

const ask = (gateway: TestGateway, query = '{ a }') => gateway.graphql(query, { headers: { 'x-api-key': key } });
const list = (...plugins: Plugin<never>[]): GatewayConfig['plugins'] => plugins.map((plugin) => ({ plugin }));

async function readFailures(gateway: TestGateway): Promise<string[]> {
  const { body } = await gateway.admin('GET', '/metrics');
  const rows = String(body).matchAll(
    /^selvage_plugin_failures_total\{plugin="(\w+)",hook="(\w+)",kind="(\w+)"\} (\d+)/gm,
  );
  return [...rows].map(([, ...cells]) => cells.join(' ')).sort();
}

describe('plugins at both doors', () => {
  it('are asked in the order of a request, with plain facts that nobody can change', async (t) => {
    const calls: [string, Readonly<Record<string, unknown>>][] = [];
    const record = (name: string) => (facts: object) => {
      calls.push([name, facts as Record<string, unknown>]);
      return undefined;
    };
    const plugin = definePlugin({
      name: 'recorder',
      onRequest: record('onRequest'),
      onRoute: record('onRoute'),
      onOperation: record('onOperation'),
      onCall: record('onCall'),
      onResponse: record('onResponse'),
    });
    const { gateway, rest } = await startWorld(t, list(plugin));
    assert.equal((await rest('/shop/1?x=2')).status, 200);
    assert.deepEqual(
      calls.map(([name]) => name),
      ['onRequest', 'onRoute', 'onCall', 'onResponse'],
    );
    const [asked, routed, called, answered] = calls.map(([, facts]) => facts);
    assert.deepEqual(
      { ...asked },
      { id: asked?.['id'], door: 'rest', method: 'GET', path: '/shop/1', query: '?x=2', client: asked?.['client'] },
    );
    const headers = asked?.['headers'] as Record<string, unknown>;
    assert.equal(headers['x-api-key'], undefined, 'credentials stay out');
    assert.ok(Object.isFrozen(headers) && Object.isFrozen(asked) && Object.isFrozen(routed));
    assert.deepEqual(routed?.['viewer'], {
      id: 'one',
      kind: 'api-key',
      issuer: undefined,
      scopes: ['read'],
      roles: [],
    });
    assert.equal(routed?.['route'], 'ANY /shop/*');
    assert.deepEqual([called?.['service'], called?.['method'], called?.['path']], ['shop', 'GET', '/shop/1?x=2']);
    assert.equal(routed?.['request'], asked, 'one object for all of a request');
    const head = answered?.['headers'] as Record<string, unknown>;
    assert.deepEqual([answered?.['status'], head['x-service'], head['set-cookie']], [200, 'yes', undefined]);

    calls.length = 0;
    assert.deepEqual((await ask(gateway, 'query Both { x: a b ...F } fragment F on Query { a }')).data, {
      x: 1,
      b: 2,
      a: 1,
    });
    assert.deepEqual(
      calls.map(([name]) => name),
      ['onRequest', 'onOperation', 'onCall', 'onResponse'],
    );
    const operation = calls[1]?.[1];
    assert.deepEqual(
      [operation?.['type'], operation?.['name'], operation?.['rootFields']],
      ['query', 'Both', ['a', 'b']],
    );
  });

  it('may answer by themselves, before anybody is authenticated', async (t) => {
    const plugin = definePlugin({
      name: 'answers',
      onRequest: ({ path }) =>
        path === '/teapot' || path === '/graphql'
          ? { answer: { status: 418, headers: { 'x-tea': 'green', 'set-cookie': ['a=1', 'b=2'] }, body: 'short' } }
          : undefined,
      onRoute: ({ route }) => (route.endsWith('/shop/*') ? { answer: { status: 204 } } : undefined),
    });
    const { gateway, rest, seen } = await startWorld(t, list(plugin));
    const tea = await fetch(`${gateway.url}/teapot`, { method: 'POST', body: 'x'.repeat(10) });
    assert.deepEqual([tea.status, await tea.text(), tea.headers.get('x-tea')], [418, 'short', 'green']);
    assert.deepEqual(tea.headers.getSetCookie(), ['a=1', 'b=2']);
    assert.ok(tea.headers.get('x-request-id'));
    assert.equal((await fetch(`${gateway.url}/graphql`, { method: 'POST' })).status, 418);
    assert.equal((await fetch(`${gateway.url}/shop/1`)).status, 401, 'a route is not asked for before authorization');
    assert.equal((await rest()).status, 204);
    assert.deepEqual(seen, []);
    assert.equal((await fetch(`${gateway.url}/health/live`)).status, 200);
  });

  it('may refuse, in the form of each door, with codes of the gateway or of their own', async (t) => {
    const plugin = definePlugin({
      name: 'refuses',
      onRequest: ({ headers }) =>
        headers['x-early'] === undefined ? undefined : { refuse: { code: 'RATE_LIMIT_EXCEEDED', message: 'later' } },
      onRoute: () => ({ refuse: { code: 'PAYMENT_REQUIRED', status: 402, message: 'pay first' } }),
      onOperation: ({ rootFields }) =>
        rootFields.includes('b')
          ? { refuse: { code: 'PAYMENT_REQUIRED', status: 402, message: 'pay first' } }
          : undefined,
    });
    const { gateway, rest } = await startWorld(t, list(plugin));
    const early = await rest('/shop/1', { 'x-early': '1' });
    assert.deepEqual([early.status, JSON.parse(early.body).code], [429, 'RATE_LIMIT_EXCEEDED']);
    const route = await rest();
    const problem = JSON.parse(route.body);
    assert.deepEqual(
      [route.status, problem.status, problem.code, problem.detail],
      [402, 402, 'PAYMENT_REQUIRED', 'pay first'],
    );
    const refused = await ask(gateway, '{ b }');
    assert.equal(refused.status, 402);
    assert.equal(refused.errors?.[0]?.extensions['code'], 'PAYMENT_REQUIRED');
    assert.equal(refused.errors?.[0]?.message, 'pay first');
    assert.deepEqual((await ask(gateway)).data, { a: 1 });
  });

  it('may change headers of requests, calls and answers', async (t) => {
    const plugin = definePlugin({
      name: 'changes',
      onRequest: () => ({ headers: { 'x-api-key': key, 'x-removed': null, 'x-early': 'one' } }),
      onRoute: () => ({ headers: { 'x-route': 'two' } }),
      onCall: ({ viewer, service }) => ({ headers: { 'x-call': `${viewer?.id} ${service}` } }),
      onResponse: () => ({ headers: { 'x-service': null, 'x-late': ['a', 'b'], 'set-cookie': 'c=3' } }),
    });
    const { gateway, seen } = await startWorld(t, list(plugin));
    const response = await fetch(`${gateway.url}/shop/1`, { headers: { 'x-removed': 'x' } });
    assert.equal(await response.text(), 'from the service');
    const [head] = seen;
    assert.deepEqual(
      [head?.['x-removed'], head?.['x-early'], head?.['x-route'], head?.['x-call']],
      [undefined, 'one', 'two', 'one shop'],
    );
    assert.deepEqual([response.headers.get('x-service'), response.headers.get('x-late')], [null, 'a, b']);
    assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'c=3']);
    const answer = await gateway.graphql('{ a }');
    assert.deepEqual([answer.data, answer.headers.get('x-late')], [{ a: 1 }, 'a, b']);
    const missing = await fetch(`${gateway.url}/nothing`);
    assert.deepEqual([missing.status, missing.headers.get('x-late')], [404, 'a, b'], 'also where the gateway answers');
  });

  it('make no calls equal that they tell apart', async (t) => {
    const seen: unknown[] = [];
    const { promise: both, resolve } = Promise.withResolvers<void>();
    const service = await startServer(t, (request, response) => {
      seen.push(request.headers['x-tenant']);
      request.resume();
      if (seen.length === 2) resolve();
      const answer = JSON.stringify({ data: { a: Number(request.headers['x-tenant']) } });
      void both.then(() => response.writeHead(200, { 'content-type': 'application/json' }).end(answer));
    });
    const plugin = definePlugin({
      name: 'tenants',
      onCall: ({ request }) => ({ headers: { 'x-tenant': String(request.headers['x-of']) } }),
    });
    const gateway = await startGateway(t, {
      plugins: list(plugin) ?? [],
      graphql: { shareOperations: true },
      services: { a: { graphql: { schema: 'type Query { a: Int }' }, instances: [{ url: service.url }] } },
    });
    const answers = await Promise.all(['1', '2'].map((of) => gateway.graphql('{ a }', { headers: { 'x-of': of } })));
    assert.deepEqual(
      answers.map(({ data }) => data),
      [{ a: 1 }, { a: 2 }],
    );
  });
});

describe('headers of plugins', () => {
  const forbidden: Record<string, string | string[]> = {
    'x-a': 'one\r\nx-b: two',
    'x b': 'no token',
    'content-length': '3',
    'transfer-encoding': 'chunked',
    connection: 'x-a',
    upgrade: 'h2c',
    trailer: 'x-a',
  };
  const forbiddenOfRequests: Record<string, string> = {
    ...(forbidden as Record<string, string>),
    'x-user-id': 'admin',
    X_User_Roles: 'admin',
    host: 'elsewhere',
    forwarded: 'for=1.2.3.4',
    'x-forwarded-for': '1.2.3.4',
    'x-request-id': 'mine',
    via: 'nobody',
  };

  it('cannot smuggle, and never say who the viewer is', async (t) => {
    let changes: Record<string, string | string[]> = {};
    const plugin = definePlugin({
      name: 'smuggles',
      onRequest: () => ({ headers: changes }),
      onRoute: () => ({ headers: changes }),
      onCall: () => ({ headers: changes }),
      onResponse: () => ({ headers: changes }),
    });
    const { gateway, rest, seen } = await startWorld(t, [{ plugin, circuit: { failures: 1_000 } }]);
    for (const [name, value] of Object.entries(forbiddenOfRequests)) {
      changes = { [name]: value, 'x-with-it': 'one' };
      seen.length = 0;
      const { status, headers, body } = await rest();
      assert.deepEqual([status, body], [200, 'from the service'], name);
      assert.equal(seen[0]?.['x-with-it'], undefined, `nothing of such a result counts: ${name}`);
      assert.equal(seen[0]?.['x-b'], undefined);
      assert.equal(seen[0]?.['x-user-id'], 'one');
      assert.equal(headers.get('x-with-it'), name in forbidden || name === 'x-request-id' ? null : 'one', name);
    }
    const count = Object.keys(forbiddenOfRequests).length;
    const failures = await readFailures(gateway);
    assert.ok(failures.includes(`smuggles onRequest invalid ${count}`), failures.join());
    assert.ok(failures.includes(`smuggles onCall invalid ${count}`), failures.join());
  });

  it('cannot smuggle in an answer of their own either', async (t) => {
    const plugin = definePlugin({
      name: 'smuggles',
      onFailure: 'fail',
      onRequest: ({ path }) => ({
        answer: {
          status: 200,
          headers: path === '/a' ? { 'content-length': '0' } : { 'x-a': 'b\nc' },
          body: 'HTTP/1.1',
        },
      }),
    });
    const { gateway } = await startWorld(t, list(plugin));
    for (const path of ['/a', '/b']) assert.equal((await fetch(gateway.url + path)).status, 500);
  });
});

describe('plugins that fail', () => {
  const hooks = ['onRequest', 'onRoute', 'onOperation', 'onCall', 'onResponse'] as const;
  const ways = {
    throw: () => {
      throw new Error('secret detail');
    },
    reject: () => Promise.reject(new Error('secret detail')),
    timeout: () => never,
    invalid: () => 'nonsense',
  };
  for (const hook of hooks) {
    for (const [kind, act] of Object.entries(ways)) {
      // A promise is no result of this one hook.
      const counted = hook === 'onResponse' && kind !== 'throw' ? 'invalid' : kind;
      it(`${hook}, ${kind}: the request goes on, or fails, as the plugin declares; it is counted and named`, async (t) => {
        for (const onFailure of ['continue', 'fail'] as const) {
          const plugin = { name: 'bad', onFailure, [hook]: act } as unknown as Plugin<never>;
          const { gateway, rest } = await startWorld(t, [{ plugin, timeout: '20ms' }]);
          const isOfGraph = hook === 'onOperation';
          const { status, body } = isOfGraph ? await askRaw(gateway) : await rest();
          assert.equal(status, onFailure === 'continue' ? 200 : 500, `${onFailure}: ${body}`);
          assert.doesNotMatch(body, /secret|bad/);
          if (hook !== 'onRoute' && !isOfGraph) {
            const answer = await ask(gateway);
            assert.equal(
              answer.errors?.[0]?.extensions['code'],
              onFailure === 'fail' ? 'INTERNAL_SERVER_ERROR' : undefined,
            );
          }
          const [failure] = await readFailures(gateway);
          assert.match(failure ?? '', new RegExp(`^bad ${hook} ${counted} [12]$`));
          const line = gateway.lines.find(({ msg }) => msg === 'a plugin failed');
          assert.deepEqual([line?.['plugin'], line?.['hook'], line?.['kind']], ['bad', hook, counted]);
        }
      });
    }
  }

  async function askRaw(gateway: TestGateway): Promise<{ status: number; body: string }> {
    const headers = { 'content-type': 'application/json', 'x-api-key': key };
    const response = await fetch(`${gateway.url}/graphql`, { method: 'POST', headers, body: '{"query":"{a}"}' });
    return { status: response.status, body: await response.text() };
  }

  it('are left alone after failures in a row, hook by hook, and tell it once', async (t) => {
    let asked = 0;
    let fine = 0;
    const plugin = definePlugin({
      name: 'bad',
      onRequest() {
        fine++;
      },
      onRoute() {
        asked++;
        throw new Error('again');
      },
    });
    const { gateway, rest } = await startWorld(t, [{ plugin, circuit: { failures: 3, openFor: '1h' } }]);
    for (let number = 0; number < 6; number++) assert.equal((await rest()).status, 200);
    assert.deepEqual([asked, fine], [3, 6]);
    const { body } = await gateway.admin('GET', '/metrics');
    assert.match(body, /selvage_plugin_circuit_open\{plugin="bad",hook="onRoute"\} 1/);
    assert.match(body, /selvage_plugin_bypassed_total\{plugin="bad",hook="onRoute"\} 3/);
    const told = gateway.lines.filter(({ plugin: name }) => name === 'bad').map(({ msg }) => msg);
    assert.equal(told.filter((msg) => msg === 'a plugin failed').length, 1, 'lines are rate-limited');
    assert.equal(told.filter((msg) => String(msg).includes('not called for a while')).length, 1);
  });

  it('that protect something are not bypassed: requests fail while they are left alone', async (t) => {
    const plugin = definePlugin({
      name: 'guard',
      onFailure: 'fail',
      onRequest() {
        throw new Error('again');
      },
    });
    const { rest } = await startWorld(t, [{ plugin, circuit: { failures: 2, openFor: '1h' } }]);
    for (let number = 0; number < 4; number++) assert.equal((await rest()).status, 500);
  });

  it('cut off no request whose client has left, and leave no answer half written', async (t) => {
    const { promise: waiting, resolve: begin } = Promise.withResolvers<void>();
    const { promise: goOn, resolve: release } = Promise.withResolvers<void>();
    const plugin = definePlugin({
      name: 'slow',
      async onRequest({ path }) {
        if (path !== '/shop/slow') return;
        begin();
        await goOn;
      },
    });
    const { gateway, rest, seen } = await startWorld(t, [{ plugin, timeout: '10s' }]);
    const leaving = httpRequest(`${gateway.url}/shop/slow`, { headers: { 'x-api-key': key } });
    leaving.on('error', () => {});
    leaving.end();
    await waiting;
    leaving.destroy();
    while (!gateway.lines.some(({ status }) => status === 499)) await new Promise((resolve) => setTimeout(resolve, 5));
    release();
    assert.equal((await rest()).status, 200);
    assert.equal(seen.length, 1, 'the request that nobody waits for went to no service');
  });
});
