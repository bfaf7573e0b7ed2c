import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { type GraphqlAnswer, startGateway, type TestGateway } from '../support/gateway.ts';
import { registerGraphql, until } from '../support/registration.ts';
import { startPlainGraphql, startServer, startSubgraph, type TestService } from '../support/subgraph.ts';

// Planned execution in the whole gateway, over real services: the same answers and the same policies as stitched.

const rows = [
  { id: '1', name: 'Table', price: 899 },
  { id: '2', name: 'Couch', price: 1_299 },
  { id: '3', name: null, price: 15 },
];

interface Shop {
  readonly products: TestService;
  readonly reviews: TestService;
  readonly weather: TestService;
}

async function startShop(t: TestContext): Promise<Shop> {
  const products = await startSubgraph(
    t,
    `type Query { products(first: Int = 3): [Product] product(id: ID!): Product search: [Item!]! }
     type Mutation { rename(id: ID!, name: String!): Product }
     type Product implements Item @key(fields: "id") { id: ID! name: String price: Int! size: Size }
     type Voucher implements Item { id: ID! code: String } interface Item { id: ID! } enum Size { SMALL BIG }`,
    {
      Query: {
        products: (_: unknown, { first }: { first: number }) => rows.slice(0, first),
        product: (_: unknown, { id }: { id: string }) => rows.find((row) => row.id === id),
        search: () => [
          { __typename: 'Voucher', id: 'v', code: 'c' },
          { __typename: 'Product', ...rows[0] },
        ],
      },
      Mutation: { rename: (_: unknown, { id, name }: { id: string; name: string }) => ({ id, name, price: 1 }) },
      Product: {
        __resolveReference: ({ id }: { id: string }) => rows.find((row) => row.id === id),
        name: ({ id, name }: { id: string; name: string | null }) => {
          if (id === '3') throw new Error('the name of 3 is lost');
          return name;
        },
        size: ({ price }: { price: number }) => (price > 100 ? 'BIG' : 'SMALL'),
      },
    },
  );
  const reviews = await startSubgraph(
    t,
    `type Query { latest: Review } type Review { id: ID! body: String product: Product }
     type Product @key(fields: "id") { id: ID! reviews(first: Int): [Review!]! secret: String @authenticated }`,
    {
      Query: { latest: () => ({ id: 'r', body: 'fine', product: { id: '2' } }) },
      Product: {
        __resolveReference: (reference: object) => reference,
        reviews: ({ id }: { id: string }) => [{ id: `r${id}`, body: `about ${id}`, product: { id } }],
        secret: (_: unknown, __: unknown, { headers }: { headers: Record<string, string> }) => headers['x-user-id'],
      },
    },
  );
  const weather = await startPlainGraphql(
    t,
    'type Query { forecast(city: String!): Forecast sky: [Sky!] } type Forecast { text: String } interface Sky { colour: String } type Clouds implements Sky { colour: String height: Int } type Clear implements Sky { colour: String }',
    {
      Query: {
        forecast: (_: unknown, { city }: { city: string }) => ({ text: `rain in ${city}` }),
        sky: () => [
          { __typename: 'Clouds', colour: 'grey', height: 3 },
          { __typename: 'Clear', colour: 'blue' },
        ],
      },
    },
  );
  return { products, reviews, weather };
}

async function openShop(t: TestContext, shop: Shop, config: GatewayConfig = {}): Promise<TestGateway> {
  const gateway = await startGateway(t, config);
  for (const [name, service] of Object.entries(shop)) await registerGraphql(gateway, name, service.url);
  return gateway;
}

/** The planner writes its requests in one line, stitching does not. */
function wasPlanned(service: TestService): boolean {
  const body = service.requests.findLast(({ method }) => method === 'POST')?.body ?? '\\n';
  return !body.includes('\\n');
}

/** Asks until the answer was planned: the first ones may come before the planner's process is there. */
async function untilPlanned(gateway: TestGateway, service: TestService, query: string, options: object = {}) {
  let answer: GraphqlAnswer | undefined;
  await until(async () => {
    answer = await gateway.graphql(query, options);
    return wasPlanned(service);
  }, `a plan for ${query}`);
  assert.ok(answer !== undefined);
  return answer;
}

const apiKeys = ['ada', 'bob'].map((name) => ({
  name,
  sha256: createHash('sha256').update(name).digest('hex'),
}));

const operations: readonly [string, object?][] = [
  ['{ products { id price } }'],
  ['{ products { id name size } }'],
  ['query Q($n: Int!) { products(first: $n) { name reviews { body product { name price } } } }', { n: 2 }],
  [
    '{ a: product(id: 2) { ...F } b: product(id: "nobody") { id } latest { product { ...F } } } fragment F on Product { id name reviews { id } }',
  ],
  [
    'query Q($deep: Boolean = false) { latest { body product @include(if: $deep) { price } product { id @skip(if: $deep) } } }',
    { deep: true },
  ],
  ['{ search { __typename id ... on Voucher { code } ... on Product { price reviews { body } } } }'],
  ['{ forecast(city: "Ulm") { text } sky { colour ... on Clouds { height } } }'],
  ['{ sky { t: __typename colour } products { id reviews { id } } __typename forecast(city: "Kiel") { text } }'],
  ['mutation { rename(id: 1, name: "Desk") { name reviews { body } } }'],
  ['{ __typename __schema { queryType { name } } latest { id } }'],
  ['{ __type(name: "Product") { name fields { name } } }'],
  ['query Q($n: Int!) { products(first: $n) { id } }', { n: 'many' }],
  ['query Q($n: Int! $id: ID!) { products(first: $n) { id } product(id: $id) { id } }', {}],
  ['query A { latest { id } } query B { latest { body } }'],
  ['{ nothing }'],
  ['{ products { '],
];

function compare({ status, data, errors = [] }: GraphqlAnswer) {
  const shown = errors.map(({ message, path, extensions }) => {
    const { requestId: _, ...rest } = extensions;
    return { message, path, ...rest };
  });
  return { status, data, errors: shown.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))) };
}

async function untilHealthy(gateway: TestGateway, services: readonly string[]): Promise<void> {
  for (const name of services) {
    await until(async () => {
      const { body } = await gateway.admin('POST', `/services/${name}/health-check`);
      return body.instances.every(({ state }: { state: string }) => state === 'healthy');
    }, `${name} is healthy`);
  }
}

test('planned and stitched operations have the same answers, status and errors', async (t) => {
  const shop = await startShop(t);
  const planned = await openShop(t, shop);
  const stitched = await openShop(t, shop, { graphql: { engine: 'stitched' } });
  await untilPlanned(planned, shop.products, '{ products { price } }');
  for (const accept of ['*/*', 'application/graphql-response+json', 'application/json;q=0.5']) {
    for (const [query, variables = {}] of operations) {
      const options = { variables, headers: { accept } };
      const answers = await Promise.all([planned.graphql(query, options), stitched.graphql(query, options)]);
      assert.deepEqual(compare(answers[0]), compare(answers[1]), `${accept} ${query}`);
    }
  }
});

test('with a service down both engines give the same part of the answer and the same codes', async (t) => {
  const shop = await startShop(t);
  const config: GatewayConfig = { policies: { retry: { attempts: 0 } } };
  const planned = await openShop(t, shop, config);
  const stitched = await openShop(t, shop, { ...config, graphql: { engine: 'stitched' } });
  await untilPlanned(planned, shop.products, '{ products { price } }');
  for (const service of [shop.reviews, shop.weather, shop.products]) {
    await service.kill();
    for (const [query, variables = {}] of operations) {
      if (query.startsWith('mutation')) continue;
      const answers = await Promise.all([
        planned.graphql(query, { variables }),
        stitched.graphql(query, { variables }),
      ]);
      const [one, other] = answers.map(compare);
      assert.deepEqual(one, other, query);
    }
    await service.restart();
    // Otherwise one of the gateways may have noticed when the other has not.
    await Promise.all([planned, stitched].map((gateway) => untilHealthy(gateway, Object.keys(shop))));
  }
});

test('a batch may hold planned, stitched and refused operations', async (t) => {
  const shop = await startShop(t);
  const gateway = await openShop(t, shop, { graphql: { maxBatchSize: 5 } });
  await untilPlanned(gateway, shop.products, '{ products { price } }');
  const queries = ['{ products(first: 1) { price } }', '{ nothing }', '{ product(id: 3) { name } }', '{ __typename }'];
  const response = await fetch(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(queries.map((query) => ({ query }))),
  });
  const answers = (await response.json()) as { data: unknown; errors?: { extensions: object }[] }[];
  assert.deepEqual(
    answers.map(({ data }) => data),
    [{ products: [{ price: 899 }] }, undefined, { product: { name: null } }, { __typename: 'Query' }],
  );
  assert.ok(answers[2]?.errors?.[0] && 'requestId' in answers[2].errors[0].extensions);
});

test('the planner is killed again and again under load, and no answer fails', async (t) => {
  const shop = await startShop(t);
  const gateway = await openShop(t, shop);
  await untilPlanned(gateway, shop.products, '{ products { price } }');
  const pids = () => gateway.lines.flatMap(({ msg, pid }) => (msg === 'the query planner runs' ? [Number(pid)] : []));
  let asked = 0;
  let over = false;
  const clients = Array.from({ length: 8 }, async (_, client) => {
    while (!over) {
      const alias = `a${client}x${asked++}`;
      const { status, data, errors } = await gateway.graphql(
        `{ ${alias}: products(first: 1) { id reviews { body } } }`,
      );
      assert.equal(status, 200);
      assert.equal(errors, undefined);
      assert.deepEqual(data, { [alias]: [{ id: '1', reviews: [{ body: 'about 1' }] }] });
    }
  });
  for (let kills = 1; kills <= 3; kills++) {
    const before = asked;
    process.kill(pids().at(-1) ?? 0, 'SIGKILL');
    await until(() => pids().length > kills && asked > before + 20, 'the planner is back');
  }
  over = true;
  await Promise.all(clients);
});

test('fields stay closed to those who may not read them, before anything is asked of a service', async (t) => {
  const shop = await startShop(t);
  const fields = { 'Product.price': { authorize: { scopes: ['prices:read'] } } };
  const gateway = await openShop(t, shop, { authentication: { apiKeys }, fields });
  const query = '{ products(first: 1) { name secret } }';
  const headers = { 'x-api-key': 'ada' };
  const { data } = await untilPlanned(gateway, shop.products, query, { headers });
  assert.deepEqual(data, { products: [{ name: 'Table', secret: 'ada' }] });
  const before = shop.products.requests.length;
  const anonymous = await gateway.graphql(query);
  assert.equal(anonymous.status, 401);
  assert.equal(anonymous.errors?.[0]?.extensions['code'], 'UNAUTHENTICATED');
  const known = await gateway.graphql('{ products(first: 1) { secret price } }', { headers });
  assert.equal(known.status, 403);
  assert.equal(known.errors?.[0]?.extensions['code'], 'FORBIDDEN');
  assert.equal(shop.products.requests.length, before);
});

test('a rate limit counts planned operations', async (t) => {
  const shop = await startShop(t);
  const rateLimit = [{ name: 'all', limit: 3, window: '1m', key: 'ip' as const }];
  const gateway = await openShop(t, shop, { policies: { rateLimit } });
  const statuses: number[] = [];
  for (let i = 0; i < 5; i++) statuses.push((await gateway.graphql('{ products { price } }')).status);
  assert.deepEqual(statuses, [200, 200, 200, 429, 429]);
});

test('timeouts, retries and breakers are those of the call', async (t) => {
  let mode: 'answer' | 'hang' | 'fail' = 'answer';
  const slow = await startServer(t, (request, response) => {
    request.resume();
    if (mode === 'hang') return;
    response.writeHead(mode === 'fail' ? 503 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ data: { latest: { id: 'r' } } }));
  });
  const sdl = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
    type Query { latest: Review } type Review @key(fields: "id") { id: ID! }`;
  const gateway = await startGateway(t, {
    policies: { timeout: '300ms', retry: { attempts: 0 }, circuitBreaker: { minimumCalls: 3, openFor: '1m' } },
    services: { slow: { graphql: { schema: sdl }, instances: [{ url: slow.url }] } },
  });
  const ask = async () => {
    const { data, errors } = await gateway.graphql('{ latest { id } }');
    return { data, code: errors?.[0]?.extensions['code'], path: errors?.[0]?.path };
  };
  assert.deepEqual(await ask(), { data: { latest: { id: 'r' } }, code: undefined, path: undefined });
  mode = 'hang';
  assert.deepEqual(await ask(), { data: { latest: null }, code: 'GATEWAY_TIMEOUT', path: ['latest'] });
  mode = 'fail';
  const codes = [];
  for (let i = 0; i < 4; i++) codes.push((await ask()).code);
  assert.equal(codes.at(-1), 'CIRCUIT_BREAKER_OPEN');
});

test('a query is tried on another instance', async (t) => {
  const shop = await startShop(t);
  const gateway = await startGateway(t);
  const dead = await startServer(t, (_, response) => response.writeHead(503).end());
  await gateway.admin('PUT', '/services/products', {
    graphql: {},
    instances: [{ id: 'good', url: shop.products.url }],
  });
  await gateway.admin('PUT', '/services/products/instances/bad', { url: dead.url, leaseSeconds: 60 });
  for (let i = 0; i < 6; i++) {
    const { data, errors } = await gateway.graphql('{ products(first: 1) { price } }');
    assert.equal(errors, undefined);
    assert.deepEqual(data, { products: [{ price: 899 }] });
  }
});

/** A service that says who asked, and holds its answers until as many requests are there as it was told. */
async function startHolding(t: TestContext) {
  const held: (() => void)[] = [];
  const service = await startSubgraph(t, 'type Query { whoami(n: Int): String } type Mutation { count: String }', {
    Query: {
      whoami: async (_: unknown, __: unknown, { headers }: { headers: Record<string, string> }) => {
        await new Promise<void>((resolve) => held.push(resolve));
        return `${headers['x-user-id'] ?? 'nobody'} of ${headers['x-tenant'] ?? 'nowhere'}`;
      },
    },
    Mutation: {
      count: async () => {
        await new Promise<void>((resolve) => held.push(resolve));
        return 'counted';
      },
    },
  });
  return {
    service,
    held,
    release: () => {
      for (const resolve of held.splice(0)) resolve();
    },
  };
}

const askers = [
  { 'x-api-key': 'ada', 'x-tenant': 'Ulm' },
  { 'x-api-key': 'ada', 'x-tenant': 'Ulm' },
  { 'x-api-key': 'ada', 'x-tenant': 'Kiel' },
  { 'x-api-key': 'bob', 'x-tenant': 'Ulm' },
  { 'x-tenant': 'Ulm' },
  { 'x-tenant': 'Ulm' },
];
const answersOfAskers = ['ada of Ulm', 'ada of Ulm', 'ada of Kiel', 'bob of Ulm', 'nobody of Ulm', 'nobody of Ulm'];

for (const graphql of [{}, { engine: 'stitched' }, { shareOperations: true }] as const) {
  test(`requests in flight are shared by those whom services cannot tell apart: ${JSON.stringify(graphql)}`, async (t) => {
    const { service, held, release } = await startHolding(t);
    const gateway = await startGateway(t, { authentication: { apiKeys }, graphql });
    await registerGraphql(gateway, 'who', service.url, { forwardHeaders: ['X-Tenant'] });
    // The document is planned before it counts.
    const early = gateway.graphql('query Q($n: Int) { whoami(n: $n) }');
    await until(() => held.length === 1, 'the first request is there');
    release();
    await early;
    const answers = Promise.all(
      askers.map((headers) => gateway.graphql('query Q($n: Int) { whoami(n: $n) }', { headers })),
    );
    await until(() => held.length === 4, 'one request of each asker');
    const other = gateway.graphql('query Q($n: Int) { whoami(n: $n) }', {
      headers: askers[0] ?? {},
      variables: { n: 1 },
    });
    await until(() => held.length === 5, 'another request for other variables');
    release();
    assert.deepEqual(
      (await answers).map(({ data }) => data.whoami),
      answersOfAskers,
    );
    assert.equal((await other).data.whoami, 'ada of Ulm');
    const mutations = Promise.all([1, 2, 3].map(() => gateway.graphql('mutation { count }')));
    await until(() => held.length === 3, 'every mutation by itself');
    release();
    await mutations;
  });
}

test('sharing can be switched off', async (t) => {
  const { service, held, release } = await startHolding(t);
  const gateway = await startGateway(t, { graphql: { shareSubgraphRequests: false } });
  await registerGraphql(gateway, 'who', service.url);
  const answers = Promise.all([1, 2, 3].map(() => gateway.graphql('{ whoami }')));
  await until(() => held.length === 3, 'every request by itself');
  release();
  await answers;
});

test('a client that leaves does not take the answer from another that asked the same', async (t) => {
  const { service, held, release } = await startHolding(t);
  // fetch leaves a connection open that never carries a request: it would keep the gateway for all of its grace.
  const gateway = await startGateway(t, { shutdown: { grace: '100ms' } });
  await registerGraphql(gateway, 'who', service.url);
  const leaving = new AbortController();
  const post = (signal: AbortSignal | null) =>
    fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: '{ whoami }' }),
      signal,
    });
  const first = post(leaving.signal);
  await until(() => held.length === 1, 'the request is there');
  const begun = () => gateway.lines.filter(({ door }) => door === 'graphql').length;
  const second = post(null);
  const third = post(leaving.signal);
  // A request that came after them has been answered, so they were read; theirs is the only one that is held.
  await gateway.graphql('{ __typename }');
  const before = begun();
  leaving.abort();
  await Promise.allSettled([first, third]);
  await until(() => begun() >= before + 2, 'the gateway has seen them leave');
  release();
  assert.deepEqual(await (await second).json(), { data: { whoami: 'nobody of nowhere' } });
  assert.equal(service.requests.filter(({ body }) => body.includes('whoami')).length, 1);
});
