import assert from 'node:assert/strict';
import test from 'node:test';
import { createMemoryStore } from '../../subgraphs/memory-store.ts';
import { findNewest } from '../../subgraphs/service-versions.ts';
import { at, createFixture, type Fixture, given, ops } from './registry-fixture.ts';

function put(fixture: Fixture, id: string, version: string, leaseSeconds = 30) {
  return fixture.registry.putInstance('shop', id, { url: `http://${id}`, version, leaseSeconds }, ops);
}

const parts = ({ registry }: Fixture) => registry.admission.parts.join();

test('the newest version is the semantically highest, else the one that came last', () => {
  const newest = (...versions: readonly string[]) => findNewest(versions.map((version) => ({ version })))?.version;
  assert.equal(newest('1.9.0', '1.10.0', '1.2.0'), '1.10.0');
  assert.equal(newest('2.0.0', '2.0.0-rc.1'), '2.0.0');
  assert.equal(newest('2.0.0-rc.11', '2.0.0-rc.2'), '2.0.0-rc.11');
  assert.equal(newest('v3', '2.9'), 'v3');
  assert.equal(newest('blue', 'green'), 'green');
  assert.equal(newest(), undefined);
});

test('the newest version serves, whatever order its instances come in, until its last lease runs out', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'one', 'http://b': 'two', 'http://c': 'one' } });
  await fixture.registry.putService('shop', { graphql: {} }, ops);
  await put(fixture, 'a', '1.0.0', 300);
  assert.equal(parts(fixture), 'shop@one');
  await put(fixture, 'b', '2.0.0', 10);
  assert.equal(parts(fixture), 'shop@two');
  const before = fixture.admitted.length;
  await put(fixture, 'c', '1.0.0', 300);
  assert.equal(parts(fixture), 'shop@two');
  assert.equal(fixture.admitted.length, before, 'an older version composes nothing');
  await fixture.clock.advance(11_000);
  assert.equal(parts(fixture), 'shop@one');
  assert.equal(fixture.registry.snapshot.services[0]?.versions, undefined);
});

test('a version that cannot be asked yet is asked in the background', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'one' } });
  await fixture.registry.putService('shop', { graphql: {} }, ops);
  await put(fixture, 'a', '1', 300);
  await put(fixture, 'b', '2', 300);
  assert.equal(parts(fixture), 'shop@one');
  fixture.upstreams.set('http://b', 'two');
  await fixture.clock.advance(5_000);
  assert.equal(parts(fixture), 'shop@two');
});

test('a schema that stops composing by itself is kept aside with reasons, and the others go on', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'one' } });
  await fixture.registry.putService('shop', { graphql: {} }, ops);
  await put(fixture, 'a', '1', 300);
  await put(fixture, 'b', '2', 300); // not listening yet
  fixture.upstreams.set('http://b', 'broken');
  await fixture.clock.advance(2_000);
  const [service] = fixture.registry.snapshot.services;
  assert.equal(service?.schema?.sdl, 'one');
  assert.equal(service?.quarantine, null);
  assert.equal(service?.rejected?.schema.sdl, 'broken');
  assert.equal(service?.rejected?.reasons[0]?.message, 'shop is broken');
  await fixture.registry.putService('other', given('fine'), ops);
  assert.equal(parts(fixture), 'other@fine,shop@one');
  fixture.upstreams.set('http://b', 'mended');
  await fixture.clock.advance(30_000);
  assert.equal(parts(fixture), 'other@fine,shop@mended');
  assert.equal(fixture.registry.snapshot.services[1]?.rejected, undefined);
});

test('after a restart a new schema that does not compose leaves the last good one in its place', async () => {
  const store = createMemoryStore();
  {
    await using fixture = await createFixture({ store, config: { shop: given('one') } });
    assert.equal(parts(fixture), 'shop@one');
  }
  await using fixture = await createFixture({ store, config: { shop: given('broken') } });
  assert.equal(parts(fixture), 'shop@one');
  assert.equal(fixture.registry.snapshot.services[0]?.rejected?.schema.sdl, 'broken');
});

test('the history is bounded, keeps schemas a few times at most, and gives back the oldest that is left', async () => {
  const store = createMemoryStore();
  await using fixture = await createFixture({ store, maxHistory: 8 });
  const { registry } = fixture;
  await registry.putService('still', given('same'), ops);
  for (let count = 0; count < 12; count += 1) await registry.putService('shop', given(`v${count}`), ops);
  await registry.putService('shop', given('v11'), ops);
  assert.deepEqual(
    registry.history().map(({ number }) => number),
    [7, 8, 9, 10, 11, 12, 13, 14],
  );
  const text = JSON.stringify(registry.history());
  // Once in each of the whole entries.
  assert.equal(text.split('"sdl":"same"').length - 1, 4);
  assert.ok(!text.includes('"v2"'));
  await registry.rollback(7, ops);
  assert.equal(parts(fixture), 'shop@v4,still@same');
  await assert.rejects(registry.rollback(1, ops), { code: 'ROUTE_NOT_FOUND' });
});

test('what a rollback took out stays out through restarts of instances and of the gateway', async () => {
  const store = createMemoryStore();
  const upstreams = { 'http://a': 'one', 'http://b': 'two', 'http://c': 'two' };
  {
    await using fixture = await createFixture({ store, upstreams });
    await fixture.registry.putService('shop', { graphql: {} }, ops);
    await put(fixture, 'a', '1', 300);
    await fixture.registry.deleteInstance('shop', 'a', ops);
    await put(fixture, 'b', '2', 300);
    assert.equal(parts(fixture), 'shop@two');
    await fixture.registry.rollback(2, ops);
    assert.equal(parts(fixture), 'shop@one');
    await put(fixture, 'c', '2', 300);
    await fixture.clock.advance(60_000);
    assert.equal(parts(fixture), 'shop@one');
  }
  await using fixture = await createFixture({ store, upstreams });
  await fixture.clock.advance(60_000);
  assert.equal(parts(fixture), 'shop@one');
  await fixture.registry.putService('shop', { graphql: {} }, ops);
  assert.equal(parts(fixture), 'shop@two');
});

test('a storm of equal registrations makes one generation', async () => {
  await using fixture = await createFixture({ config: { still: at('http://s') }, upstreams: { 'http://s': 'same' } });
  const before = fixture.registry.history().length;
  const storm = Array.from({ length: 100 }, () => fixture.registry.putService('shop', given('one'), ops));
  await Promise.all(storm);
  assert.equal(fixture.registry.history().length, before + 1);
  assert.equal(fixture.published.filter(({ services }) => services.length === 2).length, 1);
});
