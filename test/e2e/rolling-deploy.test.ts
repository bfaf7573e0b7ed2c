import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { startPlainGraphql, startSubgraph, type TestService } from '../support/subgraph.ts';

// Instances of one service with different versions at once.

const rows = [{ id: '1' }, { id: '2' }];
const old = 'type Query { products: [Product!]! } type Product @key(fields: "id") { id: ID! name: String }';
const fresh = old.replace('name: String', 'name: String price: Int').replace('!]! }', '!]! count: Int }');

function startProducts(t: TestContext, sdl: string, tag: string): Promise<TestService> {
  const Product = { __resolveReference: (product: object) => product, name: () => tag };
  const isNew = sdl === fresh;
  return startSubgraph(t, sdl, {
    Query: { products: () => rows, ...(isNew && { count: () => 2 }) },
    Product: { ...Product, ...(isNew && { price: () => 5 }) },
  });
}

for (const engine of ['auto', 'stitched'] as const) {
  test(`fields that only the new version knows are asked only of its instances (${engine})`, async (t) => {
    const [one, two] = [await startProducts(t, old, 'old'), await startProducts(t, fresh, 'new')];
    const reviews = await startSubgraph(
      t,
      'type Query { latest: Product } type Product @key(fields: "id") { id: ID! }',
      { Query: { latest: () => ({ id: '1' }) } },
    );
    const gateway = await startGateway(t, { graphql: { engine }, policies: { retry: { attempts: 0 } } });
    const register = (id: string, url: string, version: string) =>
      gateway.admin('PUT', `/services/products/instances/${id}`, { url, version });
    await gateway.admin('PUT', '/services/reviews', { graphql: {}, instances: [{ url: reviews.url }] });
    await gateway.admin('PUT', '/services/products', { graphql: {}, loadBalancing: { algorithm: 'round-robin' } });
    assert.equal((await register('a', one.url, '1.9.0')).status, 201);
    await assertUnknown(gateway, '{ count }');
    assert.equal((await register('b', two.url, '1.10.0')).status, 201);

    for (let count = 0; count < 10; count += 1) {
      const answer = await gateway.graphql('{ count products { name price } latest { price } }');
      assert.equal(answer.errors, undefined);
      assert.deepEqual(answer.data.products[0], { name: 'new', price: 5 });
      assert.deepEqual(answer.data.latest, { price: 5 });
    }
    const names = new Set<string>();
    for (let count = 0; count < 10; count += 1) {
      names.add((await gateway.graphql('{ products { name } }')).data.products[0].name);
    }
    assert.deepEqual([...names].toSorted(), ['new', 'old'], 'what both know is asked of both');
    assert.ok(one.requests.every(({ body }) => !body.includes('price') && !body.includes('count')));

    // The older one comes again, as when it is scaled up: the newest is still what serves.
    const graph = (await gateway.admin('GET', '/graph')).body.id;
    assert.equal((await register('c', one.url.replace('127.0.0.1', 'localhost'), '1.9.0')).status, 201);
    assert.equal((await gateway.admin('GET', '/graph')).body.id, graph);
    assert.equal((await gateway.admin('GET', '/services/products')).body.versions.length, 2);

    // When no instance of a version is left, its schema goes.
    assert.equal((await gateway.admin('POST', '/services/products/instances/b/drain')).status, 200);
    await assertUnknown(gateway, '{ count }');
    assert.deepEqual((await gateway.graphql('{ products { name } }')).data.products[0], { name: 'old' });
    assert.equal((await gateway.admin('GET', '/services/products')).body.versions, undefined);
  });
}

test('versions of instances in the configuration are each asked', async (t) => {
  const [one, two] = [await startProducts(t, old, 'old'), await startProducts(t, fresh, 'new')];
  const gateway = await startGateway(t, {
    services: {
      products: {
        graphql: {},
        instances: [
          { url: two.url, version: '2' },
          { url: one.url, version: '1' },
        ],
      },
    },
  });
  await until(async () => (await gateway.admin('GET', '/services/products')).body.versions?.length === 2, 'both known');
  for (let count = 0; count < 6; count += 1) {
    assert.deepEqual((await gateway.graphql('{ products { id } }')).errors, undefined);
  }
});

test('a service whose schema stops composing is quarantined, and its last good one serves', async (t) => {
  const shop = await startPlainGraphql(t, 'type Query { shop: Shop } type Shop { name: String }', {
    Query: { shop: () => ({ name: 'ours' }) },
  });
  const other = await startPlainGraphql(t, 'type Query { other: Int }', { Query: { other: () => 1 } });
  const gateway = await startGateway(t, {
    services: {
      shop: { graphql: { kind: 'plain' }, instances: [{ url: shop.url }] },
      other: { graphql: { kind: 'plain' }, instances: [{ url: other.url }] },
    },
  });
  await until(async () => (await gateway.graphql('{ shop { name } other }')).data?.other === 1, 'both there');
  const refused = await startPlainGraphql(t, 'type Query { other: String shop: Shop } type Shop { name: String }');
  const answer = await gateway.admin('PUT', '/services/shop/instances/next', { url: refused.url, version: '2' });
  assert.equal(answer.status, 422, 'an instance that registers so is refused');
  assert.deepEqual((await gateway.graphql('{ shop { name } other }')).data, { shop: { name: 'ours' }, other: 1 });
});

async function assertUnknown(gateway: TestGateway, query: string): Promise<void> {
  const { errors } = await gateway.graphql(query);
  assert.equal(errors?.[0]?.extensions['code'], 'GRAPHQL_VALIDATION_FAILED');
}
