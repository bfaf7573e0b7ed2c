import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findInstance, findService } from '../../subgraphs/snapshot.ts';
import { at, createFixture, type Fixture, given, ops, rest } from './registry-fixture.ts';

function instanceIds({ registry }: Fixture, service = 'users'): readonly string[] {
  return findService(registry.snapshot, service)?.instances.map((instance) => instance.id) ?? [];
}

test('an instance registers, and its heartbeats cost neither a revision nor a write', async () => {
  await using fixture = await createFixture();
  const { registry, clock, saved } = fixture;
  await registry.putService('users', given('x'), ops);
  const registration = { url: 'http://users:80/', weight: 3, zone: 'a', version: '1', leaseSeconds: 30 };
  const first = await registry.putInstance('users', 'i1', registration, ops);
  assert.deepEqual([first.created, first.changed, first.graphChanged], [true, true, false]);
  assert.deepEqual(first.instance, {
    id: 'i1',
    url: 'http://users',
    weight: 3,
    zone: 'a',
    version: '1',
    origin: 'lease',
    leaseSeconds: 30,
    draining: false,
  });
  const before = [registry.snapshot, saved.length, registry.audit().length] as const;
  for (let beat = 0; beat < 10; beat++) {
    await clock.advance(20_000);
    assert.equal(registry.leaseRemainingSeconds('users', 'i1'), 10);
    const renewal = await registry.putInstance('users', 'i1', registration, ops);
    assert.deepEqual([renewal.created, renewal.changed], [false, false]);
    assert.equal(registry.leaseRemainingSeconds('users', 'i1'), 30);
  }
  assert.deepEqual([registry.snapshot, saved.length, registry.audit().length], before);
});

test('instances that are not renewed leave together, in one change', async () => {
  await using fixture = await createFixture();
  const { registry, clock } = fixture;
  await registry.putService('users', given('x', { instances: [{ id: 'static', url: 'http://s' }] }), ops);
  for (const id of ['a', 'b', 'c']) {
    await registry.putInstance('users', id, { url: `http://${id}`, leaseSeconds: id === 'c' ? 60 : 30 }, ops);
  }
  const { revision } = registry.snapshot;
  await clock.advance(30_000);
  assert.deepEqual(instanceIds(fixture), ['static', 'c']);
  assert.equal(registry.snapshot.revision, revision + 1);
  const entry = registry.audit().at(-1);
  assert.deepEqual(
    [entry?.author, entry?.action, entry?.targets],
    ['lease', 'instance.expire', ['users/a', 'users/b']],
  );
  assert.equal(registry.leaseRemainingSeconds('users', 'a'), null);
  assert.equal(registry.leaseRemainingSeconds('users', 'static'), null);
});

test('dead instances leave also when the disk is full', async () => {
  await using fixture = await createFixture();
  const { registry, clock } = fixture;
  await registry.putService('users', given('x'), ops);
  await registry.putInstance('users', 'a', { url: 'http://a' }, ops);
  fixture.diskFull = true;
  await clock.advance(30_000);
  assert.deepEqual(instanceIds(fixture), []);
});

test('an unknown service has no instances, and a heartbeat for it leaves no line in the audit', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const count = registry.audit().length;
  await assert.rejects(registry.putInstance('users', 'a', { url: 'http://a' }, ops), { code: 'ROUTE_NOT_FOUND' });
  await assert.rejects(registry.drainInstance('users', 'a', ops), { code: 'ROUTE_NOT_FOUND' });
  await assert.rejects(registry.deleteInstance('users', 'a', ops), { code: 'ROUTE_NOT_FOUND' });
  assert.equal(registry.audit().length, count);
});

test('the first instance brings the schema; registered and in the graph are one step', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'v1' } });
  const { registry, published } = fixture;
  const put = await registry.putService('users', { graphql: {} }, ops);
  assert.equal(put.service.schema, null);
  assert.match(put.unasked?.message ?? '', /no instance/);
  const count = published.length;
  const outcome = await registry.putInstance('users', 'a', { url: 'http://a' }, ops);
  assert.equal(outcome.graphChanged, true);
  assert.deepEqual(outcome.admission, { parts: ['users@v1'] });
  assert.equal(outcome.service.revision, registry.snapshot.revision, 'a new schema is a new ETag');
  assert.equal(published.length, count + 1);
});

test('many instances of one schema at once ask for one composition', async () => {
  const names = Array.from({ length: 20 }, (_, index) => `http://i${index}`);
  await using fixture = await createFixture({ upstreams: Object.fromEntries(names.map((name) => [name, 'v1'])) });
  const { registry, admitted } = fixture;
  await registry.putService('users', { graphql: {} }, ops);
  const count = admitted.length;
  await Promise.all(names.map((url, index) => registry.putInstance('users', `i${index}`, { url }, ops)));
  assert.equal(admitted.length, count + 1);
  assert.equal(instanceIds(fixture).length, 20);
});

test('a new version is asked again; one that does not compose stays out whole', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'v1' } });
  const { registry, upstreams, asked } = fixture;
  await registry.putService('users', { graphql: {} }, ops);
  await registry.putInstance('users', 'a', { url: 'http://a', version: '1' }, ops);
  upstreams.set('http://a', 'v2');
  await registry.putInstance('users', 'a', { url: 'http://a', version: '1', weight: 2 }, ops);
  assert.deepEqual(registry.admission.parts, ['users@v1'], 'another weight is no other software');
  assert.equal(asked.length, 1);
  await registry.putInstance('users', 'a', { url: 'http://a', version: '2' }, ops);
  assert.deepEqual(registry.admission.parts, ['users@v2']);
  const { snapshot } = registry;
  upstreams.set('http://b', 'broken');
  await assert.rejects(registry.putInstance('users', 'b', { url: 'http://b', version: '3' }, ops), {
    code: 'REGISTRATION_REFUSED',
    reasons: [{ service: 'users', message: 'users is broken' }],
  });
  assert.equal(registry.snapshot, snapshot);
  assert.equal(registry.leaseRemainingSeconds('users', 'b'), null);
});

test('an instance that is not listening yet is welcome, and asked again in the background', async () => {
  await using fixture = await createFixture();
  const { registry, clock, upstreams } = fixture;
  await registry.putService('users', { graphql: {} }, ops);
  const outcome = await registry.putInstance('users', 'a', { url: 'http://a' }, ops);
  assert.deepEqual([outcome.created, outcome.graphChanged], [true, false]);
  upstreams.set('http://a', 'v1');
  await clock.advance(1_000);
  assert.deepEqual(registry.admission.parts, ['users@v1']);
});

test('an instance of a service with a given schema, or of a REST service, is not asked', async () => {
  await using fixture = await createFixture();
  const { registry, asked } = fixture;
  await registry.putService('users', given('x'), ops);
  await registry.putService('web', rest('/web'), ops);
  await registry.putInstance('users', 'a', { url: 'http://a' }, ops);
  await registry.putInstance('web', 'a', { url: 'http://a' }, ops);
  assert.deepEqual(asked, []);
});

test('an answer for a definition that has changed meanwhile is dropped', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'v1' } });
  const { registry } = fixture;
  await registry.putService('users', { graphql: { path: '/old' } }, ops);
  const gate = Promise.withResolvers<void>();
  fixture.gate = gate.promise;
  const pending = registry.putInstance('users', 'a', { url: 'http://a' }, ops);
  await fixture.clock.advance(0);
  await registry.putService('users', given('given'), ops);
  gate.resolve();
  await pending;
  assert.deepEqual(registry.admission.parts, ['users@given']);
  assert.deepEqual(instanceIds(fixture), ['a']);
});

test('a draining instance stays in the snapshot, takes heartbeats and goes on draining until it is another one', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('users', given('x', { instances: [{ id: 's', url: 'http://s' }] }), ops);
  await registry.putInstance('users', 'a', { url: 'http://a', version: '1' }, ops);
  const isDraining = (id: string) => findInstance(findService(registry.snapshot, 'users'), id)?.draining;
  assert.equal((await registry.drainInstance('users', 'a', ops)).changed, true);
  assert.equal((await registry.drainInstance('users', 'a', ops)).changed, false);
  await registry.putInstance('users', 'a', { url: 'http://a', version: '1' }, ops);
  await registry.putInstance('users', 'a', { url: 'http://a', version: '1', weight: 2 }, ops);
  assert.equal(isDraining('a'), true);
  await registry.putInstance('users', 'a', { url: 'http://a', version: '2' }, ops);
  assert.equal(isDraining('a'), false);
  await registry.drainInstance('users', 's', ops);
  await registry.putService('users', given('x', { instances: [{ id: 's', url: 'http://s' }], timeout: '1s' }), ops);
  assert.equal(isDraining('s'), true, 'another policy does not end the draining');
});

test('a deleted instance is gone at once; a static one goes only with its definition', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('users', given('x', { instances: [{ id: 's', url: 'http://s' }] }), ops);
  await registry.putInstance('users', 'a', { url: 'http://a' }, ops);
  const outcome = await registry.deleteInstance('users', 'a', ops);
  assert.equal(outcome.instance, null);
  assert.deepEqual(instanceIds(fixture), ['s']);
  assert.equal(registry.leaseRemainingSeconds('users', 'a'), null);
  await assert.rejects(registry.deleteInstance('users', 'a', ops), { code: 'ROUTE_NOT_FOUND' });
  await assert.rejects(registry.deleteInstance('users', 's', ops), { code: 'CONFLICT' });
  await assert.rejects(registry.putInstance('users', 's', { url: 'http://x' }, ops), { code: 'CONFLICT' });
});

test('instances stay registered when their service is put again', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('users', given('x'), ops);
  await registry.putInstance('users', 'a', { url: 'http://a' }, ops);
  await registry.putService('users', given('y', { instances: [{ id: 'b', url: 'http://b' }] }), ops);
  assert.deepEqual(instanceIds(fixture), ['b', 'a']);
  await registry.putService('users', given('y', { instances: [{ id: 'a', url: 'http://a' }] }), ops);
  assert.deepEqual(instanceIds(fixture), ['a']);
  assert.equal(registry.leaseRemainingSeconds('users', 'a'), null, 'named in the definition, it needs no lease');
});

test('every put asks for the schema again: that is how teams refresh it', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'v1', 'http://b': 'v1' } });
  const { registry, upstreams, asked } = fixture;
  await registry.putService('users', at('http://dead', 'http://a'), ops);
  assert.deepEqual(asked, ['http://dead', 'http://a'], 'the next one is asked when the first cannot be');
  const same = await registry.putService('users', at('http://dead', 'http://a'), ops);
  assert.equal(same.changed, false);
  upstreams.set('http://a', 'v2');
  const refreshed = await registry.putService('users', at('http://dead', 'http://a'), ops);
  assert.deepEqual(refreshed.admission.parts, ['users@v2']);
  upstreams.set('http://a', 'broken');
  await assert.rejects(registry.putService('users', at('http://dead', 'http://a'), ops), {
    code: 'REGISTRATION_REFUSED',
  });
  assert.deepEqual(registry.admission.parts, ['users@v2']);
});

test('when nobody can be asked the known schema stays, unless it is of another endpoint', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'v1' } });
  const { registry, upstreams } = fixture;
  await registry.putService('users', at('http://a'), ops);
  upstreams.clear();
  const kept = await registry.putService('users', { ...at('http://a'), timeout: '1s' }, ops);
  assert.deepEqual(kept.admission.parts, ['users@v1']);
  assert.deepEqual(kept.unasked, { service: 'users', message: 'users cannot be asked' });
  const lost = await registry.putService('users', { ...at('http://a'), graphql: { path: '/other' } }, ops);
  assert.equal(lost.service.schema, null);
  assert.deepEqual(lost.admission.parts, []);
});

test('a slow old answer never replaces a newer one', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'v1' } });
  const { registry, upstreams, clock } = fixture;
  const gate = Promise.withResolvers<void>();
  fixture.gate = gate.promise;
  const slow = registry.putService('users', at('http://a'), ops);
  await clock.advance(0);
  fixture.gate = null;
  upstreams.set('http://a', 'v2');
  await registry.putService('users', at('http://a'), ops);
  gate.resolve();
  await slow;
  assert.deepEqual(registry.admission.parts, ['users@v2']);
});

test('a heartbeat does not wait for a change that takes long', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'v1' } });
  const { registry, clock } = fixture;
  await registry.putService('web', rest('/web'), ops);
  await registry.putInstance('web', 'a', { url: 'http://w' }, ops);
  const gate = Promise.withResolvers<void>();
  fixture.gate = gate.promise;
  const slow = registry.putService('users', at('http://a'), ops);
  await clock.advance(20_000);
  await registry.putInstance('web', 'a', { url: 'http://w' }, ops);
  assert.equal(registry.leaseRemainingSeconds('web', 'a'), 30);
  gate.resolve();
  await slow;
});
