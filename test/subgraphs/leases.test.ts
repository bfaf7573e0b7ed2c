import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLeases, type ExpiredLease } from '../../subgraphs/leases.ts';
import type { Instance, Snapshot } from '../../subgraphs/snapshot.ts';
import { createFakeClock } from './fake-clock.ts';

function snapshotOf(service: string, ...instances: readonly Partial<Instance>[]): Snapshot {
  const whole = instances.map(
    (instance): Instance => ({
      id: 'a',
      url: 'http://a',
      weight: 1,
      origin: 'lease',
      leaseSeconds: 30,
      draining: false,
      ...instance,
    }),
  );
  const definition = { routes: [] };
  const rest = { schema: null, quarantine: null, revision: 1, origin: 'admin' } as const;
  return { revision: 1, services: [{ name: service, definition, instances: whole, ...rest }] };
}

function useLeases() {
  const clock = createFakeClock();
  const expired: (readonly ExpiredLease[])[] = [];
  const leases = createLeases((list) => expired.push(list), clock);
  return { clock, leases, expired };
}

test('a lease that is not renewed runs out, and those that run out together are reported together', async () => {
  const { clock, leases, expired } = useLeases();
  leases.renew('orders', 'a', 10);
  leases.renew('orders', 'b', 10);
  leases.renew('orders', 'c', 30);
  await clock.advance(9_999);
  assert.deepEqual(expired, []);
  await clock.advance(1);
  assert.deepEqual(expired, [
    [
      { service: 'orders', instance: 'a' },
      { service: 'orders', instance: 'b' },
    ],
  ]);
  assert.equal(leases.remainingSeconds('orders', 'a'), 0);
  assert.equal(leases.remainingSeconds('orders', 'c'), 20);
  assert.equal(leases.remainingSeconds('orders', 'nobody'), null);
});

test('a lease that is renewed in time never runs out', async () => {
  const { clock, leases, expired } = useLeases();
  for (let beat = 0; beat < 20; beat++) {
    leases.renew('orders', 'a', 30);
    await clock.advance(10_000);
  }
  assert.deepEqual(expired, []);
});

test('one timer serves any number of leases', () => {
  const { clock, leases } = useLeases();
  for (let index = 0; index < 1_000; index++) leases.renew('orders', `i${index}`, 1 + (index % 60));
  assert.equal(clock.pendingTimers, 1);
  leases[Symbol.dispose]();
  assert.equal(clock.pendingTimers, 0);
});

test('a snapshot gives new leased instances a full lease, static ones none, and forgets those that are gone', async () => {
  const { clock, leases, expired } = useLeases();
  leases.follow(snapshotOf('orders', { id: 'a', leaseSeconds: 5 }, { id: 'b', origin: 'static' }));
  assert.equal(leases.remainingSeconds('orders', 'a'), 5);
  assert.equal(leases.remainingSeconds('orders', 'b'), null);
  await clock.advance(1_000);
  leases.follow(snapshotOf('orders', { id: 'a', leaseSeconds: 5 }));
  assert.equal(leases.remainingSeconds('orders', 'a'), 4, 'a snapshot is no renewal');
  leases.follow(snapshotOf('orders'));
  await clock.advance(60_000);
  assert.deepEqual(expired, []);
});

test('an instance whose lease ran out gets no new one while it waits to be removed', async () => {
  const { clock, leases, expired } = useLeases();
  const snapshot = snapshotOf('orders', { id: 'a', leaseSeconds: 5 });
  leases.follow(snapshot);
  await clock.advance(5_000);
  leases.follow(snapshot);
  assert.equal(leases.remainingSeconds('orders', 'a'), 0);
  await clock.advance(60_000);
  assert.equal(expired.length, 1, 'and it is reported once');
});

test('a process that stood still gives the leases back the time that was lost', async () => {
  const { clock, leases, expired } = useLeases();
  leases.renew('orders', 'a', 10);
  clock.stall(120_000);
  await clock.advance(0);
  assert.deepEqual(expired, []);
  assert.equal(leases.remainingSeconds('orders', 'a'), 1);
  await clock.advance(1_000);
  assert.equal(expired.length, 1);
});
