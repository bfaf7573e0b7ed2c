import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql } from '../support/registration.ts';
import { federated, startSubgraph } from '../support/subgraph.ts';

// Invariant 3: a registration that does not compose, or breaks the graph, changes nothing; the team gets reasons.

const productSdl = 'type Query { top: Product } type Product @key(fields: "id") { id: ID! price: Int }';

const bad: Record<string, { graphql: object; names: RegExp }> = {
  'a field of another type': {
    graphql: {
      schema: federated('type Query { x: Int } type Product @key(fields: "id") { id: ID! price: String @shareable }'),
    },
    names: /price/,
  },
  'a field that is not shared': {
    graphql: { schema: federated('type Query { top: Product } type Product @key(fields: "id") { id: ID! }') },
    names: /top/,
  },
  'a root field that a plain service takes from another': {
    graphql: { schema: 'type Query { top: Int }', kind: 'plain' },
    names: /top/,
  },
  'a type of another kind': {
    graphql: { schema: 'type Query { y: Product } enum Product { A }', kind: 'plain' },
    names: /Product/,
  },
  'SDL that does not parse': { graphql: { schema: 'type Query {' }, names: /Syntax Error/ },
  'SDL that is no schema': { graphql: { schema: 'type Query { a: Missing }' }, names: /Missing/ },
  'a document instead of a schema': { graphql: { schema: 'query { a }' }, names: /./ },
};

for (const [what, { graphql, names }] of Object.entries(bad)) {
  test(`refused with reasons, and nothing changed: ${what}`, async (t) => {
    const gateway = await startGateway(t);
    const products = await startSubgraph(t, productSdl, { Query: { top: () => ({ id: '1', price: 5 }) } });
    await registerGraphql(gateway, 'products', products.url);
    const before = [await gateway.admin('GET', '/graph'), await gateway.admin('GET', '/services')].map(
      ({ body }) => body,
    );

    const answer = await gateway.admin('PUT', '/services/bad', { graphql });
    assert.equal(answer.status, 422, JSON.stringify(answer.body));
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    assert.equal(answer.body.code, 'REGISTRATION_REFUSED');
    assert.ok(answer.body.reasons.length > 0);
    assert.match(JSON.stringify(answer.body.reasons), names);

    const after = [await gateway.admin('GET', '/graph'), await gateway.admin('GET', '/services')].map(
      ({ body }) => body,
    );
    assert.deepEqual(after, before);
    assert.deepEqual((await gateway.graphql('{ top { price } }')).data, { top: { price: 5 } });
  });
}

test('of several services registered at once none is taken when one does not fit', async (t) => {
  const gateway = await startGateway(t);
  const services = {
    good: { graphql: { schema: 'type Query { good: Int }', kind: 'plain' } },
    worse: { graphql: { schema: 'type Query { good: String }', kind: 'plain' } },
  };
  const answer = await gateway.admin('PUT', '/services', { services, mode: 'merge' });
  assert.equal(answer.status, 422);
  assert.deepEqual((await gateway.admin('GET', '/services')).body.services, []);
});

test('a service that others need cannot be removed', async (t) => {
  const gateway = await startGateway(t);
  const products = { graphql: { schema: federated(productSdl) } };
  const stock = {
    graphql: {
      schema: federated(
        'type Query { z: Int } type Product @key(fields: "id") { id: ID! price: Int @external dear: Boolean @requires(fields: "price") }',
      ),
    },
  };
  assert.equal((await gateway.admin('PUT', '/services', { services: { products, stock } })).status, 200);
  const before = (await gateway.admin('GET', '/graph')).body;
  const answer = await gateway.admin('DELETE', '/services/products');
  assert.equal(answer.status, 422, JSON.stringify(answer.body));
  assert.deepEqual((await gateway.admin('GET', '/graph')).body, before);
});

test('a dry run says what would happen and does nothing', async (t) => {
  const gateway = await startGateway(t);
  const answer = await gateway.admin('PUT', '/services/dry?dryRun=1', {
    graphql: { schema: 'type Query { dry: Int }', kind: 'plain' },
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.body.dryRun, true);
  assert.deepEqual((await gateway.admin('GET', '/services')).body.services, []);
  assert.equal((await gateway.admin('GET', '/services/dry')).status, 404);
});
