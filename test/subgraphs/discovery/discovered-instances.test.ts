import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiscoveredList } from '../../../subgraphs/discovery/discovered-instances.ts';
import { createMemoryStore } from '../../../subgraphs/memory-store.ts';
import { findService } from '../../../subgraphs/snapshot.ts';
import { at, createFixture, type Fixture, given, ops } from '../registry-fixture.ts';

const byDns = { dns: { name: 'orders.test', port: 80 } };

function list(...urls: readonly string[]): DiscoveredList {
  const instances = urls.map((url) => ({ id: url.slice(7), url }));
  return { service: 'orders', provider: 'dns', extent: 'all', instances };
}

function instancesOf({ registry }: Fixture): readonly string[] {
  return (findService(registry.snapshot, 'orders')?.instances ?? []).map(
    ({ id, origin, draining }) => `${origin} ${id}${draining ? ' draining' : ''}`,
  );
}

test('what is found joins those that the definition names, and goes when it is not found any more', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', given('o', { discovery: byDns, instances: [{ url: 'http://s' }] }), ops);
  await registry.putInstance('orders', 'leased', { url: 'http://l' }, ops);
  await registry.putDiscovered([list('http://a', 'http://s', 'http://b')]);
  assert.deepEqual(instancesOf(fixture), ['static s:80', 'lease leased', 'discovered a', 'discovered b']);
  const { revision } = registry.snapshot;
  await registry.putDiscovered([list('http://a', 'http://s', 'http://b')]);
  assert.equal(registry.snapshot.revision, revision, 'an equal list is no change');
  await registry.putDiscovered([list('http://b')]);
  assert.deepEqual(instancesOf(fixture), ['static s:80', 'lease leased', 'discovered b']);
});

test('what returns joins what its provider told last, in the order of an answer', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', given('o', { discovery: byDns }), ops);
  await registry.putDiscovered([list('http://b', 'http://c')]);
  await registry.putDiscovered([{ ...list('http://a', 'http://b'), extent: 'returning' }]);
  assert.deepEqual(instancesOf(fixture), ['discovered a', 'discovered b', 'discovered c']);
  const { revision } = registry.snapshot;
  await registry.putDiscovered([list('http://a', 'http://b', 'http://c')]);
  assert.equal(registry.snapshot.revision, revision);
});

test('who registers at a URL that was found stands there instead, at once', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', given('o', { discovery: byDns }), ops);
  await registry.putDiscovered([list('http://a', 'http://b')]);
  await registry.putInstance('orders', 'leased', { url: 'http://a' }, ops);
  assert.deepEqual(instancesOf(fixture), ['lease leased', 'discovered b']);
  const { revision } = registry.snapshot;
  await registry.putDiscovered([{ ...list('http://a'), extent: 'returning' }]);
  assert.deepEqual(instancesOf(fixture), ['lease leased', 'discovered b'], 'as long as the lease lasts');
  assert.equal(registry.snapshot.revision, revision);
});

test('each provider has its own list, and an instance that two of them know is there once', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const discovery = { ...byDns, docker: {} };
  await using config = await createFixture({ config: { orders: given('o', { discovery }) } });
  await config.registry.putDiscovered([
    list('http://a', 'http://b'),
    { ...list('http://b', 'http://c'), provider: 'docker' },
  ]);
  assert.deepEqual(instancesOf(config), ['discovered b', 'discovered c', 'discovered a']);
  await config.registry.putDiscovered([list()]);
  assert.deepEqual(instancesOf(config), ['discovered b', 'discovered c']);
  await registry.putDiscovered([list('http://a')]);
  assert.deepEqual(registry.snapshot.services, [], 'a service that is gone meanwhile is no matter');
});

test('a drain outlives the next answer; what was found cannot be deleted or overwritten', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', given('o', { discovery: byDns }), ops);
  await registry.putDiscovered([list('http://a', 'http://b')]);
  await registry.drainInstance('orders', 'a', ops);
  await registry.putDiscovered([list('http://a', 'http://c')]);
  assert.deepEqual(instancesOf(fixture), ['discovered a draining', 'discovered c']);
  const conflict = { code: 'CONFLICT', message: /was found by dns/ };
  await assert.rejects(registry.deleteInstance('orders', 'a', ops), conflict);
  await assert.rejects(registry.putInstance('orders', 'a', { url: 'http://x' }, ops), conflict);
});

test('what was found stays when the definition changes, and goes when it looks there no more', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', given('o', { discovery: byDns }), ops);
  await registry.putDiscovered([list('http://a')]);
  await registry.putService('orders', given('o', { discovery: byDns, timeout: '1s' }), ops);
  assert.deepEqual(instancesOf(fixture), ['discovered a']);
  await registry.putService('orders', given('o'), ops);
  assert.deepEqual(instancesOf(fixture), []);
});

test('what was found is there after a restart, before any provider has answered', async () => {
  const store = createMemoryStore();
  const config = { orders: given('o', { discovery: byDns }) };
  await using before = await createFixture({ store, config });
  await before.registry.putDiscovered([list('http://a', 'http://b')]);
  await using after = await createFixture({ store, config });
  assert.deepEqual(instancesOf(after), ['discovered a', 'discovered b']);
  assert.deepEqual(after.logged, []);
});

test('addresses are held to what holds for the service: the file is freer than a team, metadata is for nobody', async () => {
  const store = createMemoryStore();
  const config = { orders: given('o', { discovery: byDns }) };
  await using before = await createFixture({ store, config });
  await before.registry.putDiscovered([list('http://10.0.0.1', 'http://169.254.169.254')]);
  await using after = await createFixture({ store, config, allow: ['10.9.0.0/16'] });
  assert.deepEqual(instancesOf(after), ['discovered 10.0.0.1']);
});

test('services of teams may be discovered by DNS, and by what the operator allows', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', given('o', { discovery: byDns }), ops);
  for (const provider of ['docker', 'kubernetes', 'consul', 'etcd', 'eureka']) {
    const definition = given('o', { discovery: { [provider]: {} } });
    await assert.rejects(registry.putService('orders', definition, ops), {
      code: 'FORBIDDEN',
      message: new RegExp(`discovered by ${provider} here \\(discovery.teams\\)`),
    });
    await assert.rejects(registry.putServices({ orders: definition }, 'merge', ops), { code: 'FORBIDDEN' });
  }
  for (const discovery of [{}, { dns: { name: 'a b', port: 80 } }, { dns: { name: 'a' } }, { consul: { url: 'x' } }]) {
    await assert.rejects(registry.putService('orders', given('o', { discovery }), ops), { code: 'BAD_REQUEST' });
  }
});

test('an instance that is found is asked for the schema when it runs something new', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'v1', 'http://b': 'v2' } });
  const { registry, clock, asked, upstreams } = fixture;
  await registry.putService('orders', { graphql: {}, discovery: byDns }, ops);
  await registry.putDiscovered([list('http://a')]);
  await clock.advance(1_000);
  assert.deepEqual(registry.admission.parts, ['orders@v1']);
  await registry.putDiscovered([list('http://a', 'http://b')]);
  await clock.advance(0);
  assert.deepEqual(registry.admission.parts, ['orders@v2']);
  const before = asked.length;
  await registry.putDiscovered([list('http://b')]);
  await clock.advance(60_000);
  assert.equal(asked.length, before, 'nobody is asked because somebody left');
  upstreams.set('http://c', 'broken');
  await registry.putDiscovered([list('http://b', 'http://c')]);
  await clock.advance(0);
  assert.deepEqual(registry.admission.parts, ['orders@v2']);
  await registry.putService('plain', at('http://b'), ops);
});

test('discovery that changes all the time does not push others out of the audit', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', given('o', { discovery: byDns }), ops);
  for (let round = 0; round < 600; round++) await registry.putDiscovered([list(`http://10.0.${round % 200}.1`)]);
  const entries = registry.audit();
  assert.deepEqual(
    entries.map(({ author, action, times }) => [author, action, times]),
    [
      ['ops', 'service.put', undefined],
      ['discovery', 'instances.discover', 600],
    ],
  );
  assert.ok(entries.length === 2);
});

test('a rollback leaves alone what was found, and where it is looked for', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', given('o'), ops);
  const generation = registry.history().at(-1)?.number ?? 0;
  await registry.putService('orders', given('p', { discovery: byDns }), ops);
  await registry.putDiscovered([list('http://a')]);
  await registry.rollback(generation, ops);
  assert.deepEqual(registry.admission.parts, ['orders@o']);
  assert.deepEqual(instancesOf(fixture), ['discovered a']);
  assert.deepEqual(findService(registry.snapshot, 'orders')?.definition.discovery, byDns);
});
