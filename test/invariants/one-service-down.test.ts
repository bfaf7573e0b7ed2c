import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, until } from '../support/registration.ts';
import { startSubgraph } from '../support/subgraph.ts';

// Invariant 5: one service down: what does not need it succeeds; what does gets partial data and a coded error.
// The gateway starts with every service down, and heals by itself.

const accountsSdl = 'type Query { me: User } type User @key(fields: "id") { id: ID! name: String }';
const reviewsSdl = 'type Query { latest: String } type User @key(fields: "id") { id: ID! reviews: [String!] }';
const accountsResolvers = { Query: { me: () => ({ id: '1', name: 'Ada' }) } };
const reviewsResolvers = {
  Query: { latest: () => 'fine' },
  User: { __resolveReference: (user: object) => ({ ...user, reviews: ['fine'] }) },
};
const down = ['SERVICE_UNAVAILABLE', 'CIRCUIT_BREAKER_OPEN', 'DOWNSTREAM_SERVICE_ERROR'];

test('what does not need a dead service succeeds, what does is partial, and it heals by itself', async (t) => {
  const gateway = await startGateway(t);
  const accounts = await startSubgraph(t, accountsSdl, accountsResolvers);
  const reviews = await startSubgraph(t, reviewsSdl, reviewsResolvers);
  await registerGraphql(gateway, 'accounts', accounts.url);
  await registerGraphql(gateway, 'reviews', reviews.url);
  await reviews.kill();
  for (let i = 0; i < 20; i++) {
    const whole = await gateway.graphql('{ me { name } }');
    assert.deepEqual([whole.status, whole.data, whole.errors], [200, { me: { name: 'Ada' } }, undefined]);
    const partial = await gateway.graphql('{ me { name reviews } latest }');
    assert.equal(partial.status, 200);
    assert.deepEqual(partial.data, { me: { name: 'Ada', reviews: null }, latest: null });
    assert.ok(partial.errors !== undefined && partial.errors.length >= 1);
    for (const error of partial.errors) {
      assert.ok(down.includes(String(error.extensions['code'])), JSON.stringify(error));
      assert.equal(error.extensions['service'], 'reviews');
      assert.ok(error.extensions['requestId']);
      assert.ok(!JSON.stringify(error).includes(String(reviews.port)), 'the address stays inside');
    }
  }
  await reviews.restart();
  await until(async () => (await gateway.graphql('{ me { reviews } latest }')).errors === undefined, 'healing');
});

test('a gateway that starts while every service is down becomes whole as they come up', async (t) => {
  const accounts = await startSubgraph(t, accountsSdl, accountsResolvers);
  const reviews = await startSubgraph(t, reviewsSdl, reviewsResolvers);
  await accounts.kill();
  await reviews.kill();
  const gateway = await startGateway(t, {
    services: {
      accounts: { graphql: {}, instances: [{ url: accounts.url }] },
      reviews: { graphql: {}, instances: [{ url: reviews.url }] },
    },
  });
  assert.equal((await fetch(`${gateway.url}/health/ready`)).status, 200);
  assert.deepEqual((await gateway.admin('GET', '/graph')).body.services, []);
  await reviews.restart();
  await until(async () => (await gateway.graphql('{ latest }')).data?.latest === 'fine', 'reviews joins');
  await accounts.restart();
  await until(
    async () => (await gateway.graphql('{ me { name reviews } }')).data?.me?.reviews?.[0] === 'fine',
    'accounts joins',
  );
});
