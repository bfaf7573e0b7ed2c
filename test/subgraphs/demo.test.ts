import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { composeServices, compositionHasErrors } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { findDefinitionMistakes } from '../../subgraphs/definition-check.ts';
import { accounts } from '../../subgraphs/demo/accounts.ts';
import { type DemoService, readSettings, startDemoService } from '../../subgraphs/demo/demo-service.ts';
import { findFreePort } from '../../subgraphs/demo/free-port.ts';
import { inventory } from '../../subgraphs/demo/inventory.ts';
import { orders } from '../../subgraphs/demo/orders.ts';
import { products } from '../../subgraphs/demo/products.ts';
import { reviews } from '../../subgraphs/demo/reviews.ts';
import { startTokenIssuer } from '../../subgraphs/demo/tokens.ts';
import { startAdminStandIn, startProcess } from '../support/demo.ts';

const federated = [accounts, products, reviews];

test('every service answers /health and says which instance answered', async (t) => {
  for (const service of [...federated, inventory, orders]) {
    const { url } = await start(t, service);
    for (const path of ['/health', '/nowhere']) {
      const response = await fetch(url + path);
      await response.text();
      assert.equal(response.status, path === '/health' ? 200 : 404);
      assert.equal(response.headers.get('x-demo-instance'), `${service.name}-1`);
    }
  }
});

test('every definition is one that the admin API takes', () => {
  for (const { definition } of [...federated, inventory, orders])
    assert.deepEqual(findDefinitionMistakes(definition), []);
});

test('the federated services compose in every subset, so they may start in any order', async (t) => {
  const services = [];
  for (const service of federated) {
    const { data } = await ask((await start(t, service)).url, '{ _service { sdl } }');
    services.push({ name: service.name, typeDefs: parse(data._service.sdl) });
  }
  for (let subset = 1; subset < 2 ** services.length; subset++) {
    const chosen = services.filter((_, index) => (subset & (1 << index)) !== 0);
    const result = composeServices(chosen);
    assert.ok(!compositionHasErrors(result), `${chosen.map(({ name }) => name)}: ${JSON.stringify(result.errors)}`);
    assert.ok(result.supergraphSdl);
  }
});

test('every GraphQL service has a field that names the instance', async (t) => {
  for (const service of [...federated, inventory]) {
    const field = `${service.name}Instance`;
    const { data } = await ask((await start(t, service)).url, `{ ${field} }`);
    assert.equal(data[field], `${service.name}-1`);
  }
});

test('entities are looked up by key, and unknown ones are null', async (t) => {
  const query = (fields: string) =>
    `query ($representations: [_Any!]!) { _entities(representations: $representations) { ${fields} } }`;
  const userKeys = ['grace', 'nobody', 'grace'].map((id) => ({ __typename: 'User', id }));
  const fromAccounts = await ask((await start(t, accounts)).url, query('... on User { name username }'), {
    representations: userKeys,
  });
  const grace = { name: 'Grace Hopper', username: '@grace' };
  assert.deepEqual(fromAccounts.data._entities, [grace, null, grace]);

  const productKeys = ['1', 'none'].map((upc) => ({ __typename: 'Product', upc }));
  const fromProducts = await ask((await start(t, products)).url, query('... on Product { name price { amount } }'), {
    representations: productKeys,
  });
  assert.deepEqual(fromProducts.data._entities, [{ name: 'Table', price: { amount: 89_900 } }, null]);

  const fromReviews = await ask(
    (await start(t, reviews)).url,
    query('... on Product { averageRating reviews { id } }'),
    {
      representations: productKeys,
    },
  );
  assert.deepEqual(fromReviews.data._entities, [
    { averageRating: 4.5, reviews: [{ id: 'r1' }, { id: 'r2' }] },
    { averageRating: null, reviews: [] },
  ]);
});

test('the services agree about who and what there is', async (t) => {
  const { users } = (await ask((await start(t, accounts)).url, '{ users { id username } }')).data;
  const catalogue = (await ask((await start(t, products)).url, '{ products { upc } }')).data.products;
  const { latestReviews } = (
    await ask((await start(t, reviews)).url, '{ latestReviews(first: 99) { author { id username } product { upc } } }')
  ).data;
  assert.deepEqual([users.length, catalogue.length, latestReviews.length], [6, 9, 12]);
  for (const { author, product } of latestReviews) {
    assert.ok(
      users.some((user: object) => JSON.stringify(user) === JSON.stringify(author)),
      author.id,
    );
    assert.ok(
      catalogue.some(({ upc }: { upc: string }) => upc === product.upc),
      product.upc,
    );
  }
  const upcs = catalogue.map(({ upc }: { upc: string }) => upc);
  const inStock = await ask(
    (await start(t, inventory)).url,
    'query ($upcs: [String!]!) { stockByUpc(upcs: $upcs) { upc } }',
    { upcs },
  );
  assert.deepEqual(inStock.data.stockByUpc, catalogue);
});

test('accounts believes the gateway about who asks, and protects what is private', async (t) => {
  const { url } = await start(t, accounts);
  assert.deepEqual((await ask(url, '{ me { id } }')).data, { me: null });
  assert.deepEqual((await ask(url, '{ me { id } }', {}, { 'x-user-id': 'ada' })).data, { me: { id: 'ada' } });
  const { sdl } = (await ask(url, '{ _service { sdl } }')).data._service;
  assert.match(sdl, /email: String @requiresScopes\(scopes: \[\["profile:read"\]\]\)/);
  assert.match(sdl, /me: User @authenticated/);
});

test('a review is added in the name of who asks', async (t) => {
  const { url } = await start(t, reviews);
  const mutation =
    'mutation ($rating: Int!) { addReview(upc: "3", rating: $rating, body: "Good.") { id author { id } } }';
  const viewer = { 'x-user-id': 'alan' };
  assert.equal((await ask(url, mutation, { rating: 5 })).data.addReview, null);
  assert.equal((await ask(url, mutation, { rating: 6 }, viewer)).data.addReview, null);
  const { addReview } = (await ask(url, mutation, { rating: 5 }, viewer)).data;
  assert.deepEqual(addReview, { id: 'reviews-1-13', author: { id: 'alan' } });
  assert.deepEqual((await ask(url, '{ latestReviews(first: 1) { id } }')).data.latestReviews, [{ id: 'reviews-1-13' }]);
});

test('inventory knows nothing of federation, and looks products up in the order of their keys', async (t) => {
  const { url } = await start(t, inventory);
  assert.equal((await ask(url, '{ _service { sdl } }')).data, undefined);
  const { data } = await ask(url, '{ productsByUpc(upcs: ["2", "none", "1"]) { upc inStock warehouse } }');
  assert.deepEqual(data.productsByUpc, [
    { upc: '2', inStock: false, warehouse: 'Antwerp' },
    null,
    { upc: '1', inStock: true, warehouse: 'Antwerp' },
  ]);
});

test('a GraphQL service refuses what is no GraphQL request', async (t) => {
  const { url } = await start(t, products);
  const post = (body: string) => fetch(`${url}/graphql`, { method: 'POST', body });
  assert.equal((await fetch(`${url}/graphql`)).status, 405);
  for (const body of ['', 'no json', '[]', '{"query":7}', 'null']) assert.equal((await post(body)).status, 400, body);
  for (const query of ['{', '{ nothing }', 'subscription { x }']) {
    const { data, errors } = await ask(url, query);
    assert.equal(data, undefined);
    assert.equal(errors.length, 1);
  }
});

test('orders lists, shows and creates', async (t) => {
  const { url } = await start(t, orders);
  const list = await (await fetch(`${url}/v1/orders?customer=ada`)).json();
  assert.deepEqual([list.total, list.orders[0].id], [1, '1']);
  assert.equal((await (await fetch(`${url}/v1/orders/3`)).json()).customer, 'grace');
  const missing = await fetch(`${url}/v1/orders/99`);
  assert.deepEqual([missing.status, missing.headers.get('content-type')], [404, 'application/problem+json']);

  const created = await postOrder(url, '{"items":[{"upc":"1","quantity":2}]}', { 'x-user-id': 'ada' });
  assert.equal(created.status, 201);
  const order = { id: '5', customer: 'ada', items: [{ upc: '1', quantity: 2 }], status: 'open' };
  assert.deepEqual(await created.json(), order);
  const location = created.headers.get('location') ?? '';
  assert.deepEqual(await (await fetch(new URL(location, `${url}/v1/orders`))).json(), order);
  assert.equal(new URL(location, 'http://gateway/api/orders').pathname, '/api/orders/5');
});

test('orders refuses what it cannot do with the right status', async (t) => {
  const { url } = await start(t, orders);
  assert.equal((await fetch(`${url}/v1/orders`, { method: 'POST', body: 'text' })).status, 415);
  for (const body of ['', '{}', '{"items":[]}', '{"items":[{"upc":"1","quantity":0}]}', 'null']) {
    assert.equal((await postOrder(url, body)).status, 422, body);
  }
  assert.equal((await postOrder(url, 'x'.repeat(2_000_000)).catch(() => ({ status: 413 }))).status, 413);
  for (const [path, allow] of [
    ['/v1/orders', 'GET, HEAD, POST'],
    ['/v1/orders/1', 'GET, HEAD'],
  ]) {
    const response = await fetch(url + path, { method: 'DELETE' });
    assert.deepEqual([response.status, response.headers.get('allow')], [405, allow]);
  }
  const head = await fetch(`${url}/v1/orders/1`, { method: 'HEAD' });
  assert.deepEqual([head.status, await head.text()], [200, '']);
});

test('the export of orders is about 5 MB of NDJSON in pieces, and a reader who leaves does no harm', async (t) => {
  const { url } = await start(t, orders);
  const response = await fetch(`${url}/v1/orders/export`);
  assert.equal(response.headers.get('content-length'), null);
  const text = await response.text();
  assert.ok(text.length > 4_500_000 && text.length < 6_500_000, String(text.length));
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(new Set(lines.map(({ id }) => id)).size, 40_000);

  const leaving = new AbortController();
  const cut = await fetch(`${url}/v1/orders/export`, { signal: leaving.signal });
  await cut.body?.getReader().read();
  leaving.abort();
  assert.equal((await fetch(`${url}/health`)).status, 200);
});

test('a service registers under its id, and SIGTERM deregisters it and finishes what is in flight', async (t) => {
  const admin = await startAdminStandIn(t);
  const service = startProcess(t, 'subgraphs/demo/orders.ts', {
    SELVAGE_ADMIN: admin.url,
    INSTANCE_ID: 'orders-7',
    PORT: '0',
  });
  const [, url = ''] = await service.printed(/listening at (\S+),/);
  await service.printed(/registered at/);
  assert.deepEqual(admin.lines, ['PUT /services/orders', 'PUT /services/orders/instances/orders-7']);
  assert.equal(admin.requests[1]?.body.url, url);

  const request = get(`${url}/v1/orders/export`);
  const [response] = await once(request, 'response');
  await once(response, 'readable'); // under way, and held up by this reader
  service.child.kill('SIGTERM');
  await service.printed(/deregistered/);
  assert.deepEqual(admin.lines.slice(2), [
    'POST /services/orders/instances/orders-7/drain',
    'DELETE /services/orders/instances/orders-7',
  ]);
  let bytes = 0;
  for await (const chunk of response) bytes += chunk.length;
  assert.ok(response.complete && bytes > 4_500_000);
  assert.deepEqual(await service.ended, { code: 0, signal: null });
});

test('settings come from the environment, with defaults that fit a gateway on this machine', () => {
  assert.deepEqual(readSettings({}), {
    port: 0,
    host: '127.0.0.1',
    url: undefined,
    id: undefined,
    admin: ['http://127.0.0.1:4001'],
    token: undefined,
  });
  assert.deepEqual(readSettings({ SELVAGE_ADMIN: '' }).admin, []);
  assert.deepEqual(readSettings({ SELVAGE_ADMIN: 'http://a,http://b' }).admin, ['http://a', 'http://b']);
  for (const PORT of ['x', '-1', '70000']) assert.throws(() => readSettings({ PORT }), RangeError);
});

test('the token issuer signs tokens that its keys verify', async (t) => {
  await using issuer = await startTokenIssuer({ port: 0 });
  t.diagnostic(issuer.url);
  const discovery = await (await fetch(`${issuer.url}/.well-known/openid-configuration`)).json();
  assert.equal(discovery.issuer, issuer.url);
  const token = await (await fetch(`${issuer.url}/token?sub=ada&scope=a%20b`)).text();
  const keys = createRemoteJWKSet(new URL(discovery.jwks_uri));
  const { payload } = await jwtVerify(token, keys, { issuer: issuer.url, audience: 'shop', algorithms: ['ES256'] });
  assert.deepEqual([payload.sub, payload['scope']], ['ada', 'a b']);

  const old = await (await fetch(`${issuer.url}/token?sub=ada&expiresIn=-60`)).text();
  await assert.rejects(jwtVerify(old, keys), { code: 'ERR_JWT_EXPIRED' });
  for (const query of ['', '?sub=', '?sub=a%20b', '?sub=ada&expiresIn=soon']) {
    assert.equal((await fetch(`${issuer.url}/token${query}`)).status, 400, query);
  }
});

test('a busy port is passed over', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const taken = new Set<number>();
  const found = await findFreePort(port, '127.0.0.1', taken);
  assert.notEqual(found, port);
  assert.notEqual(await findFreePort(found, '127.0.0.1', taken), found);
});

test('npm start: everything registers, a death is told, and SIGINT ends all processes', async (t) => {
  const demo = startProcess(t, 'subgraphs/demo/run.ts', { PORT: '0', ADMIN_PORT: '', HOST: '' });
  await demo.printed(/Ctrl\+C stops everything/);
  const rows = [...demo.output().matchAll(/^ {2}(\S+-\d|gateway|tokens) +(\d+) +\d+$/gm)];
  const pids = new Map(rows.map(([, name = '', pid]) => [name, Number(pid)]));
  t.after(() => [...pids.values()].filter(isAlive).forEach((pid) => void process.kill(pid, 'SIGKILL')));
  assert.equal(pids.size, 11);

  const [, url = ''] = await demo.printed(/GraphiQL +(\S+)/);
  process.kill(pids.get('products-2') ?? 0, 'SIGKILL');
  await demo.printed(/products-2 .* ended: SIGKILL[\s\S]*INSTANCE_ID=products-2/);
  for (let round = 0; round < 6; round++) {
    const { data, errors } = await ask(url.replace('/graphql', ''), '{ topProducts(first: 1) { name inStock } }');
    assert.deepEqual([data.topProducts, errors], [[{ name: 'Table', inStock: true }], undefined]);
  }
  demo.child.kill('SIGINT');
  assert.deepEqual(await demo.ended, { code: 0, signal: null });
  assert.deepEqual([...pids.values()].filter(isAlive), []);
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** An instance in this process, registered nowhere. */
async function start(t: TestContext, service: DemoService) {
  const running = await startDemoService(service, { port: 0, host: '127.0.0.1', id: `${service.name}-1`, admin: [] });
  t.after(() => running.stop());
  return running;
}

async function ask(url: string, query: string, variables: object = {}, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  return (await response.json()) as any;
}

function postOrder(url: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/v1/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
}
