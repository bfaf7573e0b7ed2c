import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptySnapshot, findService } from '../../subgraphs/snapshot.ts';
import { at, createFixture, given, ops, rest } from './registry-fixture.ts';

test('a service that is put is checked, composed, saved and published', async () => {
  await using fixture = await createFixture();
  const { registry, published, saved } = fixture;
  const before = registry.snapshot;
  const outcome = await registry.putService('users', given('users-sdl'), ops);
  assert.equal(outcome.created, true);
  assert.equal(outcome.changed, true);
  assert.equal(outcome.graphChanged, true);
  assert.deepEqual(outcome.admission, { parts: ['users@users-sdl'] });
  assert.equal(registry.admission, outcome.admission);
  assert.equal(registry.snapshot.revision, before.revision + 1);
  assert.equal(outcome.service.revision, registry.snapshot.revision);
  assert.equal(outcome.service.origin, 'admin');
  assert.equal(published.at(-1), registry.snapshot);
  assert.deepEqual(saved.at(-1)?.snapshot, registry.snapshot);
  assert.deepEqual(before.services, [], 'the old snapshot is as it was');
});

test('the same definition again changes nothing', async () => {
  await using fixture = await createFixture();
  const { registry, saved, published, admitted } = fixture;
  await registry.putService('users', given('users-sdl', { timeout: '1s' }), ops);
  const counts = [registry.snapshot.revision, saved.length, published.length, admitted.length, registry.audit().length];
  const outcome = await registry.putService('users', { timeout: '1s', ...given('users-sdl') }, ops);
  assert.deepEqual([outcome.created, outcome.changed], [false, false]);
  assert.deepEqual(
    [registry.snapshot.revision, saved.length, published.length, admitted.length, registry.audit().length],
    counts,
  );
});

test('a policy changes without another composition', async () => {
  await using fixture = await createFixture();
  const { registry, admitted } = fixture;
  const first = await registry.putService('users', given('users-sdl'), ops);
  const count = admitted.length;
  const second = await registry.putService('users', given('users-sdl', { timeout: '1s' }), ops);
  assert.deepEqual([second.changed, second.graphChanged, admitted.length], [true, false, count]);
  assert.equal(second.admission, first.admission);
  assert.equal(second.service.revision, first.service.revision + 1);
});

test('merge configuration is part of what the graph is made of', async () => {
  await using fixture = await createFixture();
  const merge = { User: { keyField: 'id', fieldName: 'user' } };
  await fixture.registry.putService('users', given('users-sdl'), ops);
  const outcome = await fixture.registry.putService(
    'users',
    { graphql: { kind: 'plain', schema: 'users-sdl', merge } },
    ops,
  );
  assert.equal(outcome.graphChanged, true);
});

test('a schema that does not compose is refused with reasons, and nothing changes but the audit', async () => {
  await using fixture = await createFixture();
  const { registry, saved, published } = fixture;
  await registry.putService('users', given('users-sdl'), ops);
  const { snapshot, admission } = registry;
  const counts = [saved.length, published.length];
  await assert.rejects(registry.putService('reviews', given('needs:products'), ops), {
    code: 'REGISTRATION_REFUSED',
    reasons: [{ service: 'reviews', message: 'reviews needs products' }],
  });
  assert.equal(registry.snapshot, snapshot);
  assert.equal(registry.admission, admission);
  assert.deepEqual([saved.length, published.length], counts);
  const entry = registry.audit().at(-1);
  assert.deepEqual(
    { ...entry, at: '' },
    {
      at: '',
      author: 'ops',
      action: 'service.put',
      targets: ['reviews'],
      revision: snapshot.revision,
      outcome: 'refused',
      code: 'REGISTRATION_REFUSED',
      reasons: [{ service: 'reviews', message: 'reviews needs products' }],
    },
  );
});

test('services that only compose together are put together', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const services = { reviews: given('needs:products'), products: given('needs:reviews') };
  await assert.rejects(registry.putService('reviews', services.reviews, ops), { code: 'REGISTRATION_REFUSED' });
  const revision = registry.snapshot.revision;
  const outcome = await registry.putServices(services, 'merge', ops);
  assert.deepEqual(outcome.created, ['products', 'reviews']);
  assert.equal(registry.snapshot.revision, revision + 1);
  const again = await registry.putServices(services, 'merge', ops);
  assert.equal(again.changed, false);
});

test('putting several is all or nothing', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const { snapshot } = registry;
  await assert.rejects(registry.putServices({ a: given('a'), b: given('broken') }, 'merge', ops), {
    code: 'REGISTRATION_REFUSED',
  });
  await assert.rejects(registry.putServices({ a: given('a'), b: { grahpql: {} } }, 'merge', ops), {
    code: 'BAD_REQUEST',
    reasons: [{ path: '/services/b/grahpql', message: 'unknown key; did you mean `graphql`?' }],
  });
  assert.equal(registry.snapshot, snapshot);
});

test('replacing removes what is not named, but nothing of the configuration file', async () => {
  await using fixture = await createFixture({ config: { web: rest('/web') } });
  const { registry } = fixture;
  await registry.putServices({ a: given('a'), b: given('b') }, 'merge', ops);
  const outcome = await registry.putServices({ b: given('b'), c: given('c') }, 'replace', ops);
  assert.deepEqual([outcome.created, outcome.removed], [['c'], ['a']]);
  assert.deepEqual(
    registry.snapshot.services.map((service) => service.name),
    ['b', 'c', 'web'],
  );
});

test('a service that others need is not removed', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putServices({ reviews: given('needs:products'), products: given('x') }, 'merge', ops);
  await assert.rejects(registry.deleteService('products', ops), { code: 'REGISTRATION_REFUSED' });
  assert.ok(findService(registry.snapshot, 'products'));
  await registry.deleteService('reviews', ops);
  const outcome = await registry.deleteService('products', ops);
  assert.deepEqual(outcome.removed, ['products']);
  assert.deepEqual(outcome.admission, { parts: [] });
  await assert.rejects(registry.deleteService('products', ops), { code: 'ROUTE_NOT_FOUND' });
});

test('a dry run says what would happen, and nothing does', async () => {
  await using fixture = await createFixture();
  const { registry, saved, published } = fixture;
  const { snapshot } = registry;
  const counts = [saved.length, published.length, registry.audit().length];
  const dry = { ...ops, dryRun: true };
  const outcome = await registry.putService('users', given('users-sdl'), dry);
  assert.deepEqual([outcome.created, outcome.changed, outcome.graphChanged], [true, true, true]);
  assert.deepEqual(outcome.admission, { parts: ['users@users-sdl'] });
  assert.equal(outcome.service.name, 'users');
  await assert.rejects(registry.putService('users', given('broken'), dry), { code: 'REGISTRATION_REFUSED' });
  await assert.rejects(registry.deleteService('users', dry), { code: 'ROUTE_NOT_FOUND' });
  assert.equal(registry.snapshot, snapshot);
  assert.deepEqual([saved.length, published.length, registry.audit().length], counts);
});

test('If-Match guards a change: an old ETag is refused', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const { service } = await registry.putService('users', given('v1'), { ...ops });
  const tag = `"${service.revision}"`;
  await assert.rejects(registry.putService('other', given('x'), { ...ops, ifMatch: '*' }), {
    code: 'PRECONDITION_FAILED',
  });
  await registry.putService('users', given('v2'), { ...ops, ifMatch: `"0", ${tag}` });
  await assert.rejects(registry.putService('users', given('v3'), { ...ops, ifMatch: tag }), {
    code: 'PRECONDITION_FAILED',
  });
  await assert.rejects(registry.deleteService('users', { ...ops, ifMatch: tag }), { code: 'PRECONDITION_FAILED' });
  await registry.deleteService('users', { ...ops, ifMatch: '*' });
});

test('of two changes with one ETag at the same time, one is refused', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const { service } = await registry.putService('users', given('v1'), ops);
  const by = { ...ops, ifMatch: `"${service.revision}"` };
  const results = await Promise.allSettled([
    registry.putService('users', given('v2'), by),
    registry.putService('users', given('v3'), by),
  ]);
  assert.deepEqual(results.map((result) => result.status).toSorted(), ['fulfilled', 'rejected']);
});

test('a service of the configuration file is changed there only; instances may register on it', async () => {
  await using fixture = await createFixture({ config: { web: rest('/web') } });
  const { registry } = fixture;
  const refusal = { code: 'CONFLICT', message: /configuration file/ };
  await assert.rejects(registry.putService('web', rest('/x'), ops), refusal);
  await assert.rejects(registry.putServices({ web: rest('/x') }, 'merge', ops), refusal);
  await assert.rejects(registry.deleteService('web', ops), refusal);
  await registry.putInstance('web', 'a', { url: 'http://web:80' }, ops);
});

test('two services cannot have the same route', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await registry.putService('orders', { routes: [{ match: { path: '/o/:id', methods: ['GET'] } }] }, ops);
  for (const match of [{ path: '/o/:key' }, { path: '/o/:id', methods: ['HEAD'] }]) {
    await assert.rejects(registry.putService('sales', { routes: [{ match }] }, ops), {
      code: 'CONFLICT',
      message: /service orders/,
      service: 'sales',
    });
  }
  for (const match of [
    { path: '/o/:id', methods: ['POST'] },
    { path: '/o/:id/' },
    { path: '/o/*' },
    { path: '/o/:id', host: 'a.example' },
  ]) {
    await registry.putService('sales', { routes: [{ match }] }, ops);
  }
  await assert.rejects(registry.putService('one', rest('/same', '/same'), ops), { code: 'CONFLICT' });
});

test('an address that instances may not have is refused', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  await assert.rejects(registry.putService('users', at('http://169.254.169.254'), ops), { code: 'FORBIDDEN' });
  await registry.putService('web', rest('/web'), ops);
  await assert.rejects(registry.putInstance('web', 'a', { url: 'http://[fe80::1]' }, ops), { code: 'FORBIDDEN' });
  assert.deepEqual(fixture.asked, []);
});

test('names are checked', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  for (const name of ['', '1st', 'a/b', 'a b', '__proto__', 'x'.repeat(64)]) {
    await assert.rejects(registry.putService(name, rest('/a'), ops), { code: 'BAD_REQUEST' }, name);
  }
  await registry.putService('constructor', rest('/a'), ops);
  await assert.rejects(registry.putInstance('constructor', '../x', { url: 'http://a' }, ops), { code: 'BAD_REQUEST' });
});

test('merge configuration for a service that turns out to be federated is refused', async () => {
  await using fixture = await createFixture({ upstreams: { 'http://a': 'federated' } });
  const merge = { User: { keyField: 'id', fieldName: 'user' } };
  await assert.rejects(
    fixture.registry.putService('users', { graphql: { merge }, instances: [{ url: 'http://a' }] }, ops),
    { code: 'REGISTRATION_REFUSED', message: /speaks federation/ },
  );
});

test('what cannot be saved is refused, and nothing changes; later it works again', async () => {
  await using fixture = await createFixture();
  const { registry, published } = fixture;
  const { snapshot } = registry;
  const count = published.length;
  fixture.diskFull = true;
  await assert.rejects(registry.putService('users', given('x'), ops), { code: 'SERVICE_UNAVAILABLE' });
  assert.equal(registry.snapshot, snapshot);
  assert.equal(published.length, count);
  assert.equal(registry.audit().at(-1)?.code, 'SERVICE_UNAVAILABLE');
  fixture.diskFull = false;
  await registry.putService('users', given('x'), ops);
});

test('changes wait for each other: every one builds on the one before', async () => {
  await using fixture = await createFixture();
  const { registry, saved } = fixture;
  await Promise.all(Array.from({ length: 30 }, (_, index) => registry.putService(`s${index}`, given(`${index}`), ops)));
  assert.equal(registry.snapshot.services.length, 30);
  const revisions = saved.map((state) => state.snapshot.revision);
  assert.deepEqual(
    revisions,
    [...new Set(revisions)].toSorted((a, b) => a - b),
  );
});

test('a refusal in the queue does not stop the changes behind it', async () => {
  await using fixture = await createFixture();
  const { registry } = fixture;
  const results = await Promise.allSettled([
    registry.putService('a', given('broken'), ops),
    registry.putService('b', given('b'), ops),
  ]);
  assert.deepEqual(
    results.map((result) => result.status),
    ['rejected', 'fulfilled'],
  );
});

test('a listener that throws disturbs nobody, and one that left hears nothing', async () => {
  await using fixture = await createFixture();
  const { registry, published } = fixture;
  registry.subscribe(() => {
    throw new Error('a bad listener');
  });
  let heard = 0;
  const leave = registry.subscribe(() => heard++);
  await registry.putService('a', given('a'), ops);
  leave();
  await registry.putService('b', given('b'), ops);
  assert.equal(heard, 1);
  assert.equal(published.at(-1), registry.snapshot);
});

test('the audit is bounded, saved with the registry, and counts a refusal that repeats', async () => {
  await using fixture = await createFixture();
  const { registry, clock, store } = fixture;
  for (let round = 0; round < 600; round++) {
    await registry.putService('a', given(`v${round}`), ops);
  }
  assert.equal(registry.audit().length, 500);
  for (let round = 0; round < 700; round++) {
    await assert.rejects(registry.putService('b', given('broken'), ops));
  }
  assert.equal(registry.audit().length, 500);
  assert.equal(registry.audit().at(-1)?.times, 700);
  await clock.advance(1_000);
  assert.deepEqual((await store.load())?.audit, registry.audit());
});

test('before its start a registry is empty and changes nothing; after its end neither', async () => {
  const fixture = await createFixture({ start: false });
  const { registry } = fixture;
  assert.equal(registry.snapshot, emptySnapshot);
  await assert.rejects(registry.putService('a', given('a'), ops), { code: 'SERVICE_UNAVAILABLE' });
  await registry.start({});
  const late = registry.putService('a', given('a'), ops);
  await new Promise((resolve) => setImmediate(resolve));
  await fixture[Symbol.asyncDispose]();
  assert.equal((await late).created, true, 'what had begun was ended');
  await assert.rejects(registry.putService('b', given('b'), ops), { code: 'SERVICE_UNAVAILABLE' });
  assert.equal(fixture.clock.pendingTimers, 0);
});
