import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPlainGraphql, startServer } from '../support/subgraph.ts';

async function makeDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'selvage-history-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const given = (schema: string, url: string) => ({
  graphql: { kind: 'plain', schema },
  instances: [{ id: 'one', url }],
});

test('every generation is in the history, and a rollback brings one back', async (t) => {
  const shop = await startPlainGraphql(t, 'type Query { shop: String bag: Int }', { Query: { shop: () => 'open' } });
  const other = await startPlainGraphql(t, 'type Query { other: Int }');
  const gateway = await startGateway(t);
  const put = (name: string, body: object) => gateway.admin('PUT', `/services/${name}?reason=because`, body);
  const first = await put('shop', given('type Query { shop: String }', shop.url));
  await put('shop', { ...given('type Query { shop: String }', shop.url), timeout: '1s' });
  await put('shop', { ...given('type Query { bag: Int }', shop.url), timeout: '2s' });
  await put('other', given('type Query { other: Int }', other.url));

  const { generations } = (await gateway.admin('GET', '/graph/history')).body;
  assert.deepEqual(
    generations.map((entry: { number: number; action: string; targets: string[] }) => [
      entry.number,
      entry.action,
      entry.targets,
    ]),
    [
      [4, 'service.put', ['other']],
      [3, 'service.put', ['shop']],
      [2, 'service.put', ['shop']],
      [1, 'start', []],
    ],
    'the second change made no generation: the schema was the same',
  );
  assert.equal(generations[1].reason, 'because');
  assert.equal(generations[1].author, 'local');
  assert.match(generations[1].at, /^\d{4}-.*Z$/);
  assert.deepEqual(
    generations[1].changes.map(({ path }: { path: string }) => path),
    ['Query.shop', 'Query.bag'],
  );
  assert.equal(generations[2].graph, first.body.graph);

  const dry = await gateway.admin('POST', '/graph/rollback?dryRun=1', { to: 2 });
  assert.equal(dry.status, 200);
  assert.equal((await gateway.graphql('{ bag other }')).errors, undefined);
  const back = await gateway.admin('POST', '/graph/rollback', { to: first.body.graph, reason: 'the bag is broken' });
  assert.equal(back.status, 200, JSON.stringify(back.body));
  assert.deepEqual(back.body.restored, ['shop']);
  assert.deepEqual(back.body.takenOut, ['other']);
  assert.equal(back.body.graph, first.body.graph);
  assert.deepEqual((await gateway.graphql('{ shop }')).data, { shop: 'open' });
  await assertUnknown(gateway, '{ other }');
  const shown = (await gateway.admin('GET', '/services/shop')).body;
  assert.equal(shown.definition.timeout, undefined);
  assert.equal(shown.definition.graphql.schema, 'type Query { shop: String }');
  assert.equal(shown.rejected.reasons[0].code, 'ROLLED_BACK');
  const newest = (await gateway.admin('GET', '/graph/history')).body.generations[0];
  assert.deepEqual([newest.number, newest.action, newest.reason], [5, 'graph.rollback', 'the bag is broken']);
  const audit = (await gateway.admin('GET', '/audit')).body.entries.at(-1);
  assert.deepEqual(
    [audit.action, audit.targets, audit.reason],
    ['graph.rollback', [first.body.graph], 'the bag is broken'],
  );
  const one = (await gateway.admin('GET', '/graph/history/3')).body;
  assert.equal(one.parts[0].schema.sdl, 'type Query { bag: Int }');

  // A team that registers again goes on as before.
  assert.equal((await put('other', given('type Query { other: Int }', other.url))).status, 200);
  assert.equal((await gateway.graphql('{ shop other }')).errors, undefined);
  assert.equal((await gateway.admin('GET', '/graph')).body.quarantined.length, 1, 'shop, whose bag is held back');
  assert.equal((await gateway.admin('POST', '/graph/rollback', { to: 99 })).status, 404);
  assert.equal((await gateway.admin('POST', '/graph/rollback', { too: 1 })).status, 400);
});

test('audit, history and a rollback survive a restart', async (t) => {
  const store = `file:${await makeDirectory(t)}`;
  const shop = await startPlainGraphql(t, 'type Query { new: Int }', { Query: { new: () => 1 } });
  const before = await startGateway(t, { store });
  await before.admin('PUT', '/services/shop', given('type Query { old: Int }', shop.url));
  // Asked of the instance from here on.
  const asked = { graphql: {}, instances: [{ id: 'one', url: shop.url }] };
  assert.equal((await before.admin('PUT', '/services/shop?reason=newer', asked)).status, 200);
  assert.equal((await before.admin('PUT', '/services/shop', { graphql: { schema: 'nonsense' } })).status, 422);
  await before.admin('POST', '/graph/rollback', { to: 2 });
  const [audit, history] = [await before.admin('GET', '/audit'), await before.admin('GET', '/graph/history')];
  assert.deepEqual(
    audit.body.entries.map(({ outcome }: { outcome: string }) => outcome),
    ['accepted', 'accepted', 'refused', 'accepted'],
  );
  await before.gateway.stop();

  const after = await startGateway(t, { store });
  assert.deepEqual((await after.admin('GET', '/audit')).body, audit.body);
  assert.deepEqual((await after.admin('GET', '/graph/history')).body, history.body);
  assert.match((await after.admin('GET', '/graph/sdl')).body, /old: Int/);
  assert.equal((await after.admin('POST', '/graph/rollback', { to: 3 })).status, 200);
  assert.deepEqual((await after.graphql('{ new }')).data, { new: 1 });
  assert.equal((await after.admin('GET', '/graph')).body.quarantined.length, 1);
});

test('instances of a service stay as they are in a rollback', async (t) => {
  const rest = await startServer(t, (_request, response) => response.end('yes'));
  const gateway = await startGateway(t);
  const schema = 'type Query { a: Int }';
  await gateway.admin('PUT', '/services/a', { graphql: { kind: 'plain', schema } });
  await gateway.admin('PUT', '/services/a/instances/late', { url: rest.url });
  await gateway.admin('PUT', '/services/a', { graphql: { kind: 'plain', schema: 'type Query { b: Int }' } });
  assert.equal((await gateway.admin('POST', '/graph/rollback', { to: 2 })).status, 200);
  const { instances } = (await gateway.admin('GET', '/services/a')).body;
  assert.deepEqual(
    instances.map(({ id }: { id: string }) => id),
    ['late'],
  );
});

async function assertUnknown(gateway: TestGateway, query: string): Promise<void> {
  const { errors } = await gateway.graphql(query);
  assert.equal(errors?.[0]?.extensions['code'], 'GRAPHQL_VALIDATION_FAILED');
}
