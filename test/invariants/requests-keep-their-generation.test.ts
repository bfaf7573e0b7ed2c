import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { startSubgraph } from '../support/subgraph.ts';

// Invariant 2: a request runs on one graph generation from start to end. A schema change aborts nothing.

test('a query in flight ends on the graph it began with, also when its fields are gone meanwhile', async (t) => {
  const gateway = await startGateway(t);
  const arrived = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const products = await startSubgraph(
    t,
    'type Query { top: Product } type Product @key(fields: "id") { id: ID! name: String }',
    {
      Query: {
        async top() {
          arrived.resolve();
          await release.promise;
          return { id: '1', name: 'Table' };
        },
      },
    },
  );
  const reviews = await startSubgraph(
    t,
    'type Query { count: Int } type Product @key(fields: "id") { id: ID! stars: Int }',
    {
      Product: { __resolveReference: (product: object) => ({ ...product, stars: 5 }) },
    },
  );
  await registerGraphql(gateway, 'products', products.url);
  await registerGraphql(gateway, 'reviews', reviews.url);
  const before = (await gateway.admin('GET', '/graph')).body.id;

  const pending = gateway.graphql('{ top { name stars } }');
  await arrived.promise;
  assert.equal((await gateway.admin('DELETE', '/services/reviews')).status, 204);
  assert.notEqual((await gateway.admin('GET', '/graph')).body.id, before);
  const refused = await gateway.graphql('{ top { stars } }');
  assert.equal(refused.errors?.[0]?.extensions['code'], 'GRAPHQL_VALIDATION_FAILED', 'new requests see the new graph');

  release.resolve();
  assert.deepEqual(await pending.then(({ data, errors }) => ({ data, errors })), {
    data: { top: { name: 'Table', stars: 5 } },
    errors: undefined,
  });
});

test('swapping the graph under load aborts no query', async (t) => {
  const gateway = await startGateway(t);
  const sdl = 'type Query { top: Product } type Product @key(fields: "id") { id: ID! name: String }';
  const products = await startSubgraph(t, sdl, { Query: { top: () => ({ id: '1', name: 'Table' }) } });
  await registerGraphql(gateway, 'products', products.url);
  let swapping = true;
  let asked = 0;
  const clients = Array.from({ length: 4 }, async () => {
    while (swapping) {
      const { data, errors } = await gateway.graphql('{ top { name } }');
      assert.deepEqual({ data, errors }, { data: { top: { name: 'Table' } }, errors: undefined });
      asked++;
    }
  });
  const ids = new Set<string>();
  for (let swap = 0; swap < 30; swap++) {
    const changing = { graphql: { schema: `type Query { extra${swap}: Int }`, kind: 'plain' } };
    const answer = await gateway.admin('PUT', '/services/changing', changing);
    assert.ok(answer.status < 300, JSON.stringify(answer.body));
    ids.add(answer.body.graph);
  }
  swapping = false;
  await Promise.all(clients);
  assert.equal(ids.size, 30);
  assert.ok(asked > 0);
});
