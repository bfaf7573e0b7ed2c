import assert from 'node:assert/strict';
import type { IncomingHttpHeaders, RequestListener } from 'node:http';
import { type TestContext, test } from 'node:test';
import { buildSchema, graphql as executeGraphql } from 'graphql';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { kindsByLevel } from '../../gateway/policy-levels.ts';
import type { PolicyBindings } from '../../policies/policy-definition.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

// One policy, written once and bound to each level in turn: both doors must decide alike.

const schema = buildSchema('type Query { slow: Int quick: Int }');

/** One service that speaks both: `/slow` and `Query.slow` do what the test says, the rest answers at once. */
interface Shop {
  readonly url: string;
  /** Requests that reached it, but for schema questions. */
  asked: number;
  behaviour: 'answer' | 'hang' | 'hang-once' | 'fail';
  /** Instances that were asked, by host and port. */
  readonly hosts: Set<string>;
  /** Of the last request. */
  headers: IncomingHttpHeaders;
}

async function startShop(t: TestContext): Promise<Shop> {
  const shop = { url: '', asked: 0, behaviour: 'answer' as Shop['behaviour'], hosts: new Set<string>(), headers: {} };
  const listener: RequestListener = async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    shop.asked++;
    shop.hosts.add(String(request.headers.host));
    shop.headers = request.headers;
    if (shop.behaviour === 'hang') return;
    if (shop.behaviour === 'hang-once') {
      shop.behaviour = 'answer';
      return;
    }
    if (shop.behaviour === 'fail') return response.destroy();
    if (request.method !== 'POST') return response.writeHead(200, { 'content-type': 'application/json' }).end('1');
    const { query } = JSON.parse(body);
    const rootValue = { slow: 1, quick: 1 };
    const answer = JSON.stringify(await executeGraphql({ schema, source: query, rootValue }));
    response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
  };
  const server = await startServer(t, listener);
  return Object.assign(shop, { url: server.url });
}

async function start(
  t: TestContext,
  shop: Shop,
  bind: PolicyBindings,
  kinds: object,
  more: GatewayConfig = {},
  instances = 1,
) {
  return startGateway(t, {
    ...more,
    policies: { retry: { attempts: 0 }, ...more.policies, named: { one: { bind, ...kinds } } },
    services: {
      shop: {
        // One server under several names is several instances.
        instances: ['127.0.0.1', 'localhost']
          .slice(0, instances)
          .map((host) => ({ url: shop.url.replace('127.0.0.1', host) })),
        graphql: { kind: 'plain', schema: 'type Query { slow: Int quick: Int }' },
        routes: [{ match: { path: '/slow' } }, { match: { path: '/quick' } }],
      },
    },
  });
}

type Decide = (gateway: TestGateway, headers?: Record<string, string>) => Promise<string>;

/** `ok`, or the code of the refusal. */
const atRest: Decide = async ({ url }, headers = {}) => {
  const response = await fetch(`${url}/slow`, { headers });
  const body = await response.json();
  return response.ok ? 'ok' : String(body.code);
};

const atGraphql: Decide = async (gateway, headers = {}) => {
  const { errors } = await gateway.graphql('{ slow }', { headers });
  return String(errors?.[0]?.extensions['code'] ?? 'ok');
};

const doors = { rest: atRest, graphql: atGraphql };

/** The two most specific levels of a request are one entry: each door has its own. */
const levels = {
  gateway: { gateway: true },
  service: { services: ['shop'] },
  type: { routes: [{ service: 'shop', path: '/slow' }], types: ['Query'] },
  target: { routes: [{ service: 'shop', path: '/slow' }], fields: ['Query.slow'] },
} as const satisfies Record<string, PolicyBindings>;

interface Case {
  readonly kind: string;
  readonly says: object;
  readonly at: readonly (keyof typeof levels)[];
  readonly config?: GatewayConfig;
  readonly instances?: number;
  /** What is asked, one after the other, at one door of a gateway of its own. */
  readonly run: (decide: () => Promise<string>, shop: Shop) => Promise<readonly unknown[]>;
  readonly expected: readonly unknown[];
}

const everywhere = ['gateway', 'service', 'type', 'target'] as const;
const calls = ['gateway', 'service'] as const;
const asked = async (decide: () => Promise<string>, times: number): Promise<string[]> => {
  const codes: string[] = [];
  for (let i = 0; i < times; i++) codes.push(await decide());
  return codes;
};

const cases: readonly Case[] = [
  {
    kind: 'authorize',
    says: { authorize: { scopes: ['orders:read'] } },
    at: everywhere,
    run: (decide) => asked(decide, 1),
    expected: ['UNAUTHENTICATED'],
  },
  {
    kind: 'public',
    says: { public: true },
    at: ['service', 'type', 'target'],
    config: { authentication: { required: true, apiKeys: [{ name: 'a', sha256: 'a'.repeat(64) }] } },
    run: (decide) => asked(decide, 1),
    expected: ['ok'],
  },
  {
    kind: 'rateLimit',
    says: { rateLimit: [{ name: 'two', limit: 2, window: '1h', key: 'ip' }] },
    at: everywhere,
    run: (decide) => asked(decide, 3),
    expected: ['ok', 'ok', 'RATE_LIMIT_EXCEEDED'],
  },
  {
    kind: 'cost',
    says: { cost: 40 },
    at: ['service', 'type', 'target'],
    config: { policies: { rateLimit: [{ name: 'budget', limit: 100, window: '1h', key: 'ip', count: 'cost' }] } },
    run: (decide) => asked(decide, 3),
    expected: ['ok', 'ok', 'RATE_LIMIT_EXCEEDED'],
  },
  {
    kind: 'timeout',
    says: { timeout: '60ms' },
    at: everywhere,
    async run(decide, shop) {
      shop.behaviour = 'hang';
      return asked(decide, 1);
    },
    expected: ['GATEWAY_TIMEOUT'],
  },
  {
    kind: 'circuitBreaker',
    says: { circuitBreaker: { minimumCalls: 2, openFor: '1h' } },
    at: everywhere,
    config: { policies: { outlierDetection: { enabled: false } } },
    async run(decide, shop) {
      shop.behaviour = 'fail';
      const codes = await asked(decide, 3);
      return [codes.slice(1), shop.asked];
    },
    expected: [['DOWNSTREAM_SERVICE_ERROR', 'CIRCUIT_BREAKER_OPEN'], 2],
  },
  {
    kind: 'retry',
    says: { retry: { attempts: 1, budget: '100%' } },
    at: ['service'], // at the gateway the tests say it themselves
    config: { policies: { circuitBreaker: { minimumCalls: 100 } } },
    async run(decide, shop) {
      shop.behaviour = 'fail';
      return [await decide(), shop.asked];
    },
    expected: ['DOWNSTREAM_SERVICE_ERROR', 2],
  },
  {
    kind: 'concurrency',
    says: { concurrency: 1 },
    at: ['gateway', 'service'],
    config: { policies: { timeout: '500ms' }, graphql: { shareSubgraphRequests: false } },
    run: hangThenAsk,
    expected: ['OVERLOADED'],
  },
  {
    kind: 'bulkhead',
    says: { bulkhead: { calls: 1 } },
    at: calls,
    config: { policies: { timeout: '500ms' }, graphql: { shareSubgraphRequests: false } },
    run: hangThenAsk,
    expected: ['OVERLOADED'],
  },
  {
    kind: 'serviceBreaker',
    says: { serviceBreaker: { minimumCalls: 2, openFor: '1h' } },
    at: calls,
    config: { policies: { circuitBreaker: { minimumCalls: 100 }, outlierDetection: { enabled: false } } },
    async run(decide, shop) {
      shop.behaviour = 'fail';
      return [await asked(decide, 3), shop.asked];
    },
    expected: [['DOWNSTREAM_SERVICE_ERROR', 'DOWNSTREAM_SERVICE_ERROR', 'CIRCUIT_BREAKER_OPEN'], 2],
  },
  {
    kind: 'outlierDetection',
    says: { outlierDetection: { consecutive5xx: 1, healthyPanicThreshold: '0%' } },
    at: calls,
    config: { policies: { circuitBreaker: { minimumCalls: 100 } } },
    instances: 2,
    async run(decide, shop) {
      shop.behaviour = 'fail';
      await decide();
      const [first = ''] = shop.hosts;
      shop.hosts.clear();
      await asked(decide, 10);
      return [shop.hosts.size, shop.hosts.has(first)];
    },
    expected: [1, false],
  },
  {
    kind: 'hedging',
    says: { hedging: { budget: '100%' } },
    at: calls,
    config: { policies: { timeout: '5s' } },
    instances: 2,
    async run(decide, shop) {
      // It begins when the latency of some calls is known.
      await asked(decide, 30);
      shop.asked = 0;
      shop.behaviour = 'hang-once';
      return [await decide(), shop.asked];
    },
    expected: ['ok', 2],
  },
  {
    kind: 'loadBalancing',
    says: { loadBalancing: { algorithm: 'consistent-hash', hash: { header: 'x-shard' } } },
    at: ['service'],
    instances: 2,
    async run(decide, shop) {
      await asked(decide, 20);
      return [shop.hosts.size];
    },
    expected: [1],
  },
];

/** While one request is under way at the service, another one is refused. */
async function hangThenAsk(decide: () => Promise<string>, shop: Shop): Promise<readonly unknown[]> {
  shop.behaviour = 'hang';
  const first = decide();
  while (shop.asked === 0) await new Promise((resolve) => setImmediate(resolve));
  const second = await decide();
  await first;
  return [second];
}

for (const { kind, says, at, config, instances, run, expected } of cases) {
  for (const level of at) {
    for (const [door, decide] of Object.entries(doors)) {
      test(`\`${kind}\` bound to the ${level} decides at the ${door} door as at the other`, async (t) => {
        const shop = await startShop(t);
        const gateway = await start(t, shop, levels[level], says, config, instances);
        shop.asked = 0;
        shop.hosts.clear();
        assert.deepEqual(await run(() => decide(gateway, { 'x-shard': 'a' }), shop), expected);
      });
    }
  }
}

/** Kinds that the table cannot hold: tests of their own, or things that only one door knows. */
const others = {
  'below, at both doors': ['priority', 'cache', 'fallback', 'cors', 'securityHeaders', 'headers'],
  'at both doors, in compression.test.ts': ['compression'],
  'of the REST door': [
    ...['csrf', 'cookies', 'upgrade', 'maxBodySize', 'preserveHost', 'idempotencyKeys'],
    ...['idleTimeout', 'region', 'retire', 'transform', 'validate'],
  ],
  'of the GraphQL door': ['arguments', 'staleIfError', 'listSize', 'slicingArguments'],
};

test('every kind of policy that can be bound is looked at here', () => {
  const known = new Set(Object.values(kindsByLevel).flatMap((kinds) => Object.keys(kinds)));
  const listed = [...new Set(cases.map(({ kind }) => kind)), ...Object.values(others).flat()];
  assert.deepEqual(listed.sort(), [...known].sort());
});

test('what the gateway says of heads of messages holds at both doors, of requests to services too', async (t) => {
  const shop = await startShop(t);
  const gateway = await start(t, shop, levels.gateway, {
    cors: { origins: ['https://app.example'], credentials: true },
    securityHeaders: { preset: 'recommended' },
    headers: {
      request: [{ set: 'x-edge', value: '{request.method}' }],
      response: [{ set: 'x-served', value: '{request.host}' }],
    },
  });
  const origin = { origin: 'https://app.example' };
  const graphql = { method: 'POST', headers: { ...origin, 'content-type': 'application/json' } };
  for (const [path, init] of [
    ['/slow', { headers: origin }],
    ['/graphql', { ...graphql, body: '{"query":"{ slow }"}' }],
  ] as const) {
    const { headers } = await fetch(gateway.url + path, init);
    const names = ['access-control-allow-origin', 'x-content-type-options', 'x-served'];
    assert.deepEqual(
      names.map((name) => headers.get(name)),
      ['https://app.example', 'nosniff', new URL(gateway.url).host],
      path,
    );
    assert.equal(shop.headers['x-edge'], path === '/slow' ? 'GET' : 'POST');
    const asks = { ...origin, 'access-control-request-method': 'POST' };
    const preflight = await fetch(gateway.url + path, { method: 'OPTIONS', headers: asks });
    assert.deepEqual([preflight.status, preflight.headers.get(names[0] ?? '')], [204, 'https://app.example'], path);
  }
});

test('headers that a policy of a service sets reach it from both doors', async (t) => {
  const shop = await startShop(t);
  const gateway = await start(t, shop, levels.service, { headers: { request: [{ set: 'x-to', value: '{service}' }] } });
  for (const decide of Object.values(doors)) {
    shop.headers = {};
    assert.equal(await decide(gateway), 'ok');
    assert.equal(shop.headers['x-to'], 'shop');
  }
});

test('rules with one name count both doors together, wherever the policy is bound', async (t) => {
  for (const bind of Object.values(levels)) {
    const shop = await startShop(t);
    const gateway = await start(t, shop, bind, {
      rateLimit: [{ name: 'three', limit: 3, window: '1h', key: 'ip' }],
    });
    const codes = [await atRest(gateway), await atGraphql(gateway), await atRest(gateway)];
    assert.deepEqual(
      [...codes, await atGraphql(gateway), await atRest(gateway)],
      ['ok', 'ok', 'ok', 'RATE_LIMIT_EXCEEDED', 'RATE_LIMIT_EXCEEDED'],
    );
  }
});

test('a rule of a route or field takes the place of the general one, with a count of its own', async (t) => {
  const shop = await startShop(t);
  const gateway = await start(
    t,
    shop,
    levels.target,
    { rateLimit: [{ name: 'general', limit: 1, window: '1h', key: 'ip' }] },
    { policies: { rateLimit: [{ name: 'general', limit: 2, window: '1h', key: 'ip' }] } },
  );
  const quick = async () => (await gateway.graphql('{ quick }')).status;
  assert.equal(await atRest(gateway), 'ok');
  assert.equal(await atGraphql(gateway), 'RATE_LIMIT_EXCEEDED', 'both doors share it');
  assert.deepEqual([await quick(), (await fetch(`${gateway.url}/quick`)).status], [200, 200]);
  assert.deepEqual([await quick(), (await fetch(`${gateway.url}/quick`)).status], [429, 429]);
});

test('a field that lifts a limit lifts it for no operation with other fields', async (t) => {
  const shop = await startShop(t);
  const gateway = await start(
    t,
    shop,
    { fields: ['Query.slow'] },
    { rateLimit: [{ name: 'general', limit: 1_000, window: '1h', key: 'ip' }] },
    { policies: { rateLimit: [{ name: 'general', limit: 1, window: '1h', key: 'ip' }] } },
  );
  assert.deepEqual(await asked(() => atGraphql(gateway), 3), ['ok', 'ok', 'ok']);
  assert.equal((await gateway.graphql('{ slow quick }')).status, 200);
  assert.equal((await gateway.graphql('{ slow quick }')).status, 429);
});

test('a substitute of a route and of a field stands in for the same failures', async (t) => {
  const shop = await startShop(t);
  const [route, field] = [levels.target.routes, levels.target.fields];
  const gateway = await startGateway(t, {
    policies: {
      retry: { attempts: 0 },
      named: {
        route: { bind: { routes: [...route] }, fallback: { body: 7 } },
        field: { bind: { fields: [...field] }, fallback: 7 },
      },
    },
    services: {
      shop: {
        instances: [{ url: shop.url }],
        graphql: { kind: 'plain', schema: 'type Query { slow: Int quick: Int }' },
        routes: [{ match: { path: '/slow' } }],
      },
    },
  });
  shop.behaviour = 'fail';
  const response = await fetch(`${gateway.url}/slow`);
  assert.deepEqual([response.status, await response.json()], [200, 7]);
  assert.deepEqual((await gateway.graphql('{ slow }')).data, { slow: 7 });
});

test('answers of a route and of a field are kept by one policy', async (t) => {
  const shop = await startShop(t);
  const gateway = await start(t, shop, levels.target, { cache: { ttl: '1h' } }, { graphql: { cache: {} } });
  shop.asked = 0;
  assert.deepEqual(await asked(() => atRest(gateway), 2), ['ok', 'ok']);
  assert.equal(shop.asked, 1);
  assert.deepEqual(await asked(() => atGraphql(gateway), 2), ['ok', 'ok']);
  assert.equal(shop.asked, 2);
});

test('the priority that is bound to the gateway is that of both doors', async (t) => {
  const shop = await startShop(t);
  const overload = { loadShedding: { maxEventLoopDelay: '100ms' } };
  const gateway = await start(t, shop, levels.gateway, { priority: 'low' }, overload);
  for (const decide of Object.values(doors)) {
    await until(async () => {
      const endAtMs = performance.now() + 300;
      while (performance.now() < endAtMs);
      await new Promise((resolve) => setTimeout(resolve, 1));
      return (await decide(gateway)) === 'OVERLOADED';
    }, 'it is shed');
  }
  const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  for (const door of Object.keys(doors)) assert.match(metrics, new RegExp(`door="${door}",priority="low"} [1-9]`));
});

for (const workers of [1, 2]) {
  test(`a policy that is written at run time holds at both doors at once (workers: ${workers})`, async (t) => {
    const shop = await startShop(t);
    const gateway = await start(t, shop, levels.service, { priority: 'high' }, { workers });
    const definition = { bind: levels.service, authorize: { scopes: ['a'] } };
    const codes = async () => [await atRest(gateway), await atGraphql(gateway)];
    assert.deepEqual(await codes(), ['ok', 'ok']);
    assert.equal((await gateway.admin('PUT', '/policies/scoped', definition)).status, 201);
    assert.deepEqual(await codes(), ['UNAUTHENTICATED', 'UNAUTHENTICATED']);
    assert.equal((await gateway.admin('DELETE', '/policies/scoped')).status, 204);
    assert.deepEqual(await codes(), ['ok', 'ok']);

    const refused = await gateway.admin('PUT', '/policies/scoped', { ...definition, priority: 'low', timeout: 'soon' });
    const reasons = refused.body.reasons.map(({ path }: { path: string }) => path);
    assert.deepEqual([refused.status, reasons], [422, ['/timeout']]);
    const twice = await gateway.admin('PUT', '/policies/scoped', { ...definition, priority: 'low' });
    assert.equal(twice.status, 422);
    assert.match(twice.body.reasons[0].message, /`scoped` and `one` both say `priority` of a service shop/);
    const reserved = await gateway.admin('PUT', '/policies/one', definition);
    assert.ok(reserved.status >= 400);
  });
}

test('a change of the configuration binds and unbinds while the gateway runs', async (t) => {
  const shop = await startShop(t);
  const gateway = await start(t, shop, levels.service, { authorize: { authenticated: true } });
  assert.deepEqual([await atRest(gateway), await atGraphql(gateway)], ['UNAUTHENTICATED', 'UNAUTHENTICATED']);
  await gateway.gateway.reload({
    store: 'memory',
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    services: {
      shop: {
        instances: [{ url: shop.url }],
        graphql: { kind: 'plain', schema: 'type Query { slow: Int quick: Int }' },
        routes: [{ match: { path: '/slow' } }],
      },
    },
  });
  assert.deepEqual([await atRest(gateway), await atGraphql(gateway)], ['ok', 'ok']);
});
