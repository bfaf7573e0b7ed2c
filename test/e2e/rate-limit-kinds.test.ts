import assert from 'node:assert/strict';
import { request, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

for (const workers of [1, 2]) {
  test(`a concurrency limit counts requests until their end, also when the client leaves (workers: ${workers})`, async (t) => {
    const gateway = await startGateway(t, {
      workers,
      policies: { rateLimit: [{ name: 'at-once', algorithm: 'concurrency', limit: 2, key: 'ip' }] },
    });
    const held: ServerResponse[] = [];
    const service = await startServer(t, (incoming, response) => {
      if (incoming.url === '/rest/slow') held.push(response);
      else response.end('ok');
    });
    await registerRest(gateway, 'rest', service.url, [{ match: { path: '/rest/*' } }]);
    const quick = async () => (await fetch(`${gateway.url}/rest/quick`)).status;
    const untilStatus = async (status: number) => {
      while ((await quick()) !== status) await sleep(5);
    };
    const untilHeld = async (count: number) => {
      while (held.length < count) await sleep(5);
    };

    const first = fetch(`${gateway.url}/rest/slow`);
    const second = request(`${gateway.url}/rest/slow`).on('error', () => {});
    second.end();
    await untilHeld(2);
    const refused = await fetch(`${gateway.url}/rest/quick`);
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get('ratelimit-policy'), '"at-once";q=2;qu="concurrent-requests"');
    assert.equal(refused.headers.get('ratelimit'), '"at-once";r=0');
    const query = await gateway.graphql('{ __typename }');
    assert.equal(query.errors?.[0]?.extensions['code'], 'RATE_LIMIT_EXCEEDED');

    second.destroy();
    await untilStatus(200);
    for (const response of held) response.end('done');
    assert.equal((await first).status, 200);
    await (await first).text();
    // A slot is given back when the answer is out; the next request may be there sooner.
    for (let i = 0; i < 20; i++) await untilStatus(200);
    const open = [fetch(`${gateway.url}/rest/slow`), fetch(`${gateway.url}/rest/slow`)];
    await untilHeld(4);
    assert.equal(await quick(), 429, 'no slot was given back twice');
    for (const response of held) response.end();
    await Promise.all(open);
  });
}

test('both doors spend one budget of cost', async (t) => {
  const gateway = await startGateway(t, {
    policies: {
      rateLimit: [{ name: 'budget', count: 'cost', limit: 100, window: '1h', key: 'ip' }],
      rateLimitHeaders: 'both',
    },
    fields: { 'Query.items': { listSize: 20 } },
  });
  const graphql = await startSubgraph(t, 'type Query { items(first: Int): [Item] } type Item { id: ID }', {
    Query: { items: () => [{ id: 1 }] },
  });
  await registerGraphql(gateway, 'items', graphql.url);
  const service = await startServer(t, (_, response) => response.end('ok'));
  await registerRest(gateway, 'rest', service.url, [{ match: { path: '/export' }, cost: 30 }]);

  const query = await gateway.graphql('{ items { id } }');
  assert.deepEqual(query.data, { items: [{ id: '1' }] });
  assert.match(query.headers.get('ratelimit') ?? '', /^"budget";r=80;/);
  assert.equal(query.headers.get('ratelimit-policy'), '"budget";q=100;qu="selvage-cost";w=3600');
  const exported = await fetch(`${gateway.url}/export`);
  assert.equal(exported.headers.get('x-ratelimit-limit'), '100');
  assert.equal(exported.headers.get('x-ratelimit-remaining'), '50');
  assert.ok(Number(exported.headers.get('x-ratelimit-reset')) > 1_000);

  const large = await gateway.graphql('query ($n: Int) { items(first: $n) { id } }', { variables: { n: 51 } });
  assert.equal(large.status, 429);
  assert.equal(large.errors?.[0]?.extensions['code'], 'RATE_LIMIT_EXCEEDED');
  assert.equal(
    (await gateway.graphql('query ($n: Int) { items(first: $n) { id } }', { variables: { n: 49 } })).status,
    200,
  );
  assert.equal((await fetch(`${gateway.url}/export`)).status, 429);
});

test('a field has a limit of its own, which aliases and interfaces do not get around', async (t) => {
  const gateway = await startGateway(t, {
    policies: { rateLimit: [{ name: 'per-operation', limit: 100, window: '1h', key: ['ip', 'operation'] }] },
    fields: { 'User.email': { rateLimit: [{ name: 'emails', limit: 3, window: '1h', key: 'ip' }] } },
  });
  const user = { __typename: 'User', id: 1, email: 'a@example.com' };
  const graphql = await startSubgraph(
    t,
    'interface Contact { email: String } type User implements Contact { id: ID email: String } type Query { user: User contact: Contact }',
    { Query: { user: () => user, contact: () => user } },
  );
  await registerGraphql(gateway, 'users', graphql.url);
  const first = await gateway.graphql('query One { user { id } }');
  assert.match(first.headers.get('ratelimit') ?? '', /^"per-operation";r=99;t=\d+$/);
  const second = await gateway.graphql('query Two { a: user { email } b: user { email } }');
  assert.match(second.headers.get('ratelimit') ?? '', /^"per-operation";r=99;t=\d+, "emails";r=1;t=\d+$/);
  assert.equal((await gateway.graphql('{ contact { email } }')).status, 200);
  const refused = await gateway.graphql('{ user { id email } }');
  assert.equal(refused.status, 429);
  assert.match(refused.errors?.[0]?.message ?? '', /"emails"/);
  assert.equal((await gateway.graphql('{ user { id } }')).status, 200, 'without the field');
});
