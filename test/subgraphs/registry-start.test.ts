import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryStore } from '../../subgraphs/memory-store.ts';
import { findService } from '../../subgraphs/snapshot.ts';
import type { Store, StoredState } from '../../subgraphs/store.ts';
import { at, createFixture, type Fixture, given, ops, rest } from './registry-fixture.ts';

function names({ registry }: Fixture): readonly string[] {
  return registry.snapshot.services.map((service) => service.name);
}

/** A store in which a gateway left what the test made it do. */
async function leave(work: (fixture: Fixture) => Promise<unknown>, options: Parameters<typeof createFixture>[0] = {}) {
  const store = createMemoryStore();
  await using fixture = await createFixture({ ...options, store });
  await work(fixture);
  return store;
}

/** A store with this state in it, however wrong. */
async function makeStore(change: (state: StoredState) => unknown): Promise<Store> {
  const store = await leave(({ registry }) => registry.putServices({ a: given('a'), b: given('b') }, 'merge', ops));
  const state = await store.load();
  assert.ok(state !== null);
  await store.save(change(structuredClone(state)) as StoredState);
  return store;
}

test('after a restart the registry is as it was, leased instances with a full new lease', async () => {
  const store = await leave(async ({ registry, clock }) => {
    await registry.putService('users', given('x'), ops);
    await registry.putInstance('users', 'a', { url: 'http://a', leaseSeconds: 60 }, ops);
    await registry.drainInstance('users', 'a', ops);
    await clock.advance(50_000);
  });
  const before = await store.load();
  await using fixture = await createFixture({ store });
  const { registry, clock } = fixture;
  assert.deepEqual(registry.snapshot, before?.snapshot);
  assert.deepEqual(registry.audit(), before?.audit);
  assert.deepEqual(registry.admission.parts, ['users@x']);
  assert.equal(registry.leaseRemainingSeconds('users', 'a'), 60);
  await clock.advance(60_000);
  assert.deepEqual(findService(registry.snapshot, 'users')?.instances, []);
});

test('the configuration is laid over what was stored', async () => {
  const store = await leave(
    async ({ registry }) => {
      await registry.putServices({ mine: rest('/mine'), taken: rest('/taken') }, 'merge', ops);
      await registry.putInstance('taken', 'a', { url: 'http://a' }, ops);
    },
    { config: { gone: rest('/gone'), kept: rest('/kept') } },
  );
  await using fixture = await createFixture({ store, config: { kept: rest('/kept/2'), taken: rest('/taken/2') } });
  const { registry } = fixture;
  assert.deepEqual(names(fixture), ['kept', 'mine', 'taken']);
  const taken = findService(registry.snapshot, 'taken');
  assert.equal(taken?.origin, 'config');
  assert.deepEqual(taken?.definition, rest('/taken/2'));
  assert.equal(taken?.instances.length, 1, 'instances stay registered');
});

test('a start with every service down publishes at once, and heals when they come', async () => {
  await using fixture = await createFixture({
    config: { users: at('http://users'), orders: at('http://orders'), web: rest('/web') },
  });
  const { registry, clock, upstreams, logged } = fixture;
  assert.deepEqual(names(fixture), ['orders', 'users', 'web']);
  assert.deepEqual(registry.admission.parts, []);
  upstreams.set('http://users', 'u');
  await clock.advance(10_000);
  assert.deepEqual(registry.admission.parts, ['users@u']);
  upstreams.set('http://orders', 'o');
  await clock.advance(20_000);
  assert.deepEqual(registry.admission.parts, ['orders@o', 'users@u']);
  assert.deepEqual(logged, []);
});

test('a start waits for services that answer at once', async () => {
  await using fixture = await createFixture({
    config: { users: at('http://users'), down: at('http://down') },
    upstreams: { 'http://users': 'u' },
  });
  assert.deepEqual(fixture.registry.admission.parts, ['users@u']);
});

test('a start does not wait long for a service that hangs', async () => {
  await using fixture = await createFixture({ start: false });
  fixture.gate = Promise.withResolvers<void>().promise;
  const starting = fixture.registry.start({ users: at('http://users'), web: rest('/web') });
  await fixture.clock.advance(1_000);
  await starting;
  assert.deepEqual(names(fixture), ['users', 'web']);
});

test('the background asks again after 1 s, then later and later up to 10 s, and never stops', async () => {
  await using fixture = await createFixture({ config: { users: at('http://users') } });
  const { clock, asked } = fixture;
  const counts: number[] = [];
  for (let second = 0; second < 36; second++) {
    counts.push(asked.length);
    await clock.advance(1_000);
  }
  const moments = counts.flatMap((count, second) => (count !== counts[second - 1] ? [second] : []));
  assert.deepEqual(moments, [0, 1, 3, 7, 15, 25, 35]);
});

test('a stored schema serves until its service can be asked, then the new one', async () => {
  const config = { users: at('http://users') };
  const store = await leave(async () => {}, { config, upstreams: { 'http://users': 'v1' } });
  await using fixture = await createFixture({ store, config });
  const { registry, clock, upstreams } = fixture;
  assert.deepEqual(registry.admission.parts, ['users@v1'], 'the service is down');
  upstreams.set('http://users', 'v2');
  await clock.advance(2_000);
  assert.deepEqual(registry.admission.parts, ['users@v2']);
  const count = fixture.asked.length;
  await clock.advance(60_000);
  assert.equal(fixture.asked.length, count, 'and then nobody is asked any more');
});

test('a service that comes back with a schema that does not compose keeps its last good one', async () => {
  const config = { users: at('http://users') };
  const store = await leave(async () => {}, { config, upstreams: { 'http://users': 'v1' } });
  await using fixture = await createFixture({ store, config, upstreams: { 'http://users': 'broken' } });
  const { registry, logged } = fixture;
  assert.deepEqual(registry.admission.parts, ['users@v1']);
  assert.equal(findService(registry.snapshot, 'users')?.quarantine, null);
  const entry = registry.audit().at(-1);
  assert.deepEqual([entry?.author, entry?.outcome, entry?.code], ['healing', 'refused', 'REGISTRATION_REFUSED']);
  assert.deepEqual(logged, ['a new schema does not compose; the last good one stays']);
});

test('what does not compose goes into quarantine with reasons, and blocks nobody', async () => {
  await using fixture = await createFixture({
    config: { bad: given('broken'), users: given('u'), needy: given('needs:products') },
  });
  const { registry } = fixture;
  assert.deepEqual(registry.admission.parts, ['users@u']);
  assert.deepEqual(findService(registry.snapshot, 'bad')?.quarantine, [{ service: 'bad', message: 'bad is broken' }]);
  assert.equal(findService(registry.snapshot, 'users')?.quarantine, null);
  await registry.putService('products', given('p'), ops);
  await fixture.clock.advance(0);
  assert.deepEqual(registry.admission.parts, ['needy@needs:products', 'products@p', 'users@u']);
  assert.equal(findService(registry.snapshot, 'needy')?.quarantine, null);
  assert.notEqual(findService(registry.snapshot, 'bad')?.quarantine, null);
});

test('schemas that only compose together, found in the background, come in together', async () => {
  const ring = { a: 'needs:b', b: 'needs:c', c: 'needs:a' };
  const config = Object.fromEntries(Object.keys(ring).map((name) => [name, at(`http://${name}`)]));
  await using fixture = await createFixture({ config: { ...config, bad: at('http://bad') } });
  const { registry, clock, upstreams } = fixture;
  upstreams.set('http://bad', 'broken');
  await clock.advance(4_000);
  for (const [name, sdl] of Object.entries(ring)) {
    upstreams.set(`http://${name}`, sdl);
    await clock.advance(10_000);
  }
  await clock.advance(10_000);
  assert.deepEqual(registry.admission.parts, ['a@needs:b', 'b@needs:c', 'c@needs:a']);
  assert.notEqual(findService(registry.snapshot, 'bad')?.quarantine, null);
  upstreams.set('http://bad', 'good');
  await clock.advance(20_000);
  assert.equal(registry.admission.parts.length, 4, 'who repairs its schema is in, without asking anybody');
});

test('of two schemas that exclude each other, the one that served before stays', async () => {
  const store = await leave(({ registry }) => registry.putService('zebra', given('type:User'), ops));
  await using fixture = await createFixture({ store, config: { ant: given('type:User'), bee: given('b') } });
  const { registry } = fixture;
  assert.deepEqual(registry.admission.parts, ['bee@b', 'zebra@type:User']);
  assert.notEqual(findService(registry.snapshot, 'ant')?.quarantine, null);
  await registry.deleteService('zebra', ops);
  await fixture.clock.advance(0);
  assert.deepEqual(registry.admission.parts, ['ant@type:User', 'bee@b']);
});

test('a team that puts a service in quarantine again learns why it is there', async () => {
  await using fixture = await createFixture();
  const { registry, clock, upstreams } = fixture;
  await registry.putService('users', at('http://users'), ops);
  upstreams.set('http://users', 'broken');
  await clock.advance(1_000);
  assert.notEqual(findService(registry.snapshot, 'users')?.quarantine, null);
  await assert.rejects(registry.putService('users', at('http://users'), ops), { code: 'REGISTRATION_REFUSED' });
});

const damages: Record<string, (state: StoredState) => unknown> = {
  'a service without a definition': (state) => change(state, { definition: undefined }),
  'a service that nobody may define so': (state) => change(state, { definition: { graphql: { kind: 'soap' } } }),
  'a service with a wrong name': (state) => change(state, { name: '1' }),
  'a service whose schema is a number': (state) => change(state, { schema: 5 }),
  'a service whose instances are none': (state) => change(state, { instances: null }),
  'no service at all': (state) => ({
    ...state,
    snapshot: { ...state.snapshot, services: [null, state.snapshot.services[1]] },
  }),
};

function change(state: StoredState, first: object): unknown {
  const [a, ...others] = state.snapshot.services;
  return { ...state, snapshot: { ...state.snapshot, services: [{ ...a, ...first }, ...others] } };
}

for (const [what, damage] of Object.entries(damages)) {
  test(`stored data with ${what} costs that service only`, async () => {
    await using fixture = await createFixture({ store: await makeStore(damage) });
    assert.deepEqual(names(fixture), ['b']);
    assert.deepEqual(fixture.logged, ['a stored service is not valid any more and is dropped']);
  });
}

test('stored data that is no registry at all is an empty one', async () => {
  for (const damage of [{}, { snapshot: null }, { snapshot: { services: 5 }, audit: 'x' }]) {
    await using fixture = await createFixture({ store: await makeStore(() => damage) });
    assert.deepEqual(names(fixture), []);
    assert.deepEqual(fixture.registry.audit(), []);
    await fixture.registry.putService('a', given('a'), ops);
  }
});

test('stored instances are held to the addresses that are allowed now', async () => {
  const store = await leave(async ({ registry }) => {
    await registry.putService('web', rest('/web'), ops);
    await registry.putInstance('web', 'a', { url: 'http://10.0.0.1' }, ops);
    await registry.putInstance('web', 'b', { url: 'http://10.1.0.1' }, ops);
    await registry.putService('other', { ...rest('/other'), instances: [{ url: 'http://10.0.0.1' }] }, ops);
  });
  await using fixture = await createFixture({ store, allow: ['10.1.0.0/16'] });
  assert.deepEqual(names(fixture), ['web']);
  assert.deepEqual(
    findService(fixture.registry.snapshot, 'web')?.instances.map((instance) => instance.id),
    ['b'],
  );
});

test('a stored service whose route the configuration has now is dropped', async () => {
  const store = await leave(({ registry }) => registry.putService('mine', rest('/a'), ops));
  await using fixture = await createFixture({ store, config: { web: rest('/a') } });
  assert.deepEqual(names(fixture), ['web']);
  assert.deepEqual(fixture.logged, ['a stored service has routes of another one and is dropped']);
});

test('a start goes on when nothing can be saved', async () => {
  await using fixture = await createFixture({ start: false });
  fixture.diskFull = true;
  await fixture.registry.start({ web: rest('/web') });
  assert.deepEqual(names(fixture), ['web']);
});

test('a configuration that contradicts itself stops the start', async () => {
  await using fixture = await createFixture({ start: false });
  await assert.rejects(fixture.registry.start({ a: rest('/x'), b: rest('/x') }), { code: 'CONFLICT' });
  await assert.rejects(fixture.registry.start({ a: {} }), { code: 'BAD_REQUEST' });
});

test('a new configuration takes the place of the old one, whole or not at all', async () => {
  await using fixture = await createFixture({ config: { a: given('a'), b: given('b') } });
  const { registry } = fixture;
  await registry.putService('mine', given('m'), ops);
  const { snapshot } = registry;
  await assert.rejects(registry.replaceConfig({ a: given('a2'), c: given('broken') }), {
    code: 'REGISTRATION_REFUSED',
  });
  await assert.rejects(registry.replaceConfig({ a: { routes: 1 } }), { code: 'BAD_REQUEST' });
  assert.equal(registry.snapshot, snapshot);
  const outcome = await registry.replaceConfig({ a: given('a2'), c: given('c') });
  assert.deepEqual([outcome.created, outcome.removed], [['c'], ['b']]);
  assert.deepEqual(outcome.admission.parts, ['a@a2', 'c@c', 'mine@m']);
  assert.equal((await registry.replaceConfig({ a: given('a2'), c: given('c') })).changed, false);
  assert.equal(findService(registry.snapshot, 'mine')?.origin, 'admin');
});

test('a service in quarantine does not stand in the way of another change of the configuration', async () => {
  await using fixture = await createFixture({ config: { bad: given('broken'), a: given('a') } });
  const { registry } = fixture;
  await registry.replaceConfig({ bad: given('broken', { timeout: '1s' }), a: given('a2') });
  assert.deepEqual(registry.admission.parts, ['a@a2']);
  await registry.replaceConfig({ bad: given('mended'), a: given('a2') });
  assert.deepEqual(registry.admission.parts, ['a@a2', 'bad@mended']);
});
