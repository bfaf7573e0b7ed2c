import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAddressPolicy } from '../../../subgraphs/address-policy.ts';
import type { DiscoveredList } from '../../../subgraphs/discovery/discovered-instances.ts';
import { createInstanceDiscovery } from '../../../subgraphs/discovery/instance-discovery.ts';
import type { Service, Snapshot } from '../../../subgraphs/snapshot.ts';
import { startDnsServer } from './dns-server.ts';
import { until } from './session.ts';

function snapshotOf(names: readonly string[], more: object = {}, origin: Service['origin'] = 'config'): Snapshot {
  const services = names.map((name): Service => {
    const definition = { routes: [], discovery: { dns: { name: `${name}.test`, port: 80 } }, ...more };
    return { name, definition, schema: null, quarantine: null, instances: [], revision: 1, origin };
  });
  return { revision: 1, services };
}

test('answers for many services that come close together are few changes', async (t) => {
  const server = await startDnsServer(t);
  const names = Array.from({ length: 200 }, (_, at) => `service-${at}`);
  for (const name of names) server.zone.set(`${name}.test`, [{ type: 'A', address: '10.0.0.1' }]);
  const changes: (readonly DiscoveredList[])[] = [];
  await using discovery = createInstanceDiscovery({
    options: { dns: { servers: [server.address] } },
    addressPolicy: createAddressPolicy(),
    apply: async (lists) => void changes.push(lists),
  });
  discovery.follow(snapshotOf(names));
  await until(() => new Set(changes.flat().map(({ service }) => service)).size === names.length);
  assert.ok(changes.length < 50, `${changes.length} changes for ${names.length} services`);
});

test('what the registry could not take is brought again', async (t) => {
  const server = await startDnsServer(t);
  server.zone.set('orders.test', [{ type: 'A', address: '10.0.0.1' }]);
  let tries = 0;
  await using discovery = createInstanceDiscovery({
    options: { dns: { servers: [server.address] } },
    addressPolicy: createAddressPolicy(),
    clock: {
      now: () => performance.now(),
      date: () => new Date(),
      setTimer(callback, delayMs) {
        const timer = setTimeout(callback, delayMs === 5_000 ? 10 : delayMs);
        return { cancel: () => clearTimeout(timer) };
      },
    },
    async apply() {
      if (++tries < 3) throw new Error('the store is away');
    },
  });
  discovery.follow(snapshotOf(['orders']));
  await until(() => tries === 3);
});

test('a definition that looks elsewhere is followed, one that changes otherwise is not asked for again', async (t) => {
  const server = await startDnsServer(t);
  server.zone.set('orders.test', [{ type: 'A', address: '10.0.0.1' }]);
  server.zone.set('other.test', [{ type: 'A', address: '10.0.0.2' }]);
  const applied: string[] = [];
  await using discovery = createInstanceDiscovery({
    options: { dns: { servers: [server.address] } },
    addressPolicy: createAddressPolicy(),
    apply: async (lists) => void applied.push(...lists.flatMap(({ instances }) => instances.map(({ id }) => id))),
  });
  discovery.follow(snapshotOf(['orders']));
  await until(() => applied.length === 1);
  discovery.follow(snapshotOf(['orders'], { timeout: '1s' }));
  discovery.follow(snapshotOf(['orders'], { instances: [{ url: 'http://10.0.0.1' }] }));
  await until(() => applied.length === 2); // laid together anew with what the definition names
  assert.deepEqual(server.asked, ['A orders.test']);
  discovery.follow(snapshotOf(['orders'], { discovery: { dns: { name: 'other.test', port: 80 } } }));
  await until(() => applied.length === 3);
  assert.deepEqual(applied, ['10.0.0.1:80', '10.0.0.1:80', '10.0.0.2:80']);
  discovery.follow({ revision: 9, services: [] });
  assert.deepEqual(discovery.status('orders'), []);
});

test('what is found for a service of a team is bound by what teams may register', async (t) => {
  const server = await startDnsServer(t);
  server.zone.set('orders.test', [
    { type: 'A', address: '10.0.0.1' },
    { type: 'A', address: '10.9.0.1' },
  ]);
  const options = { dns: { servers: [server.address] } };
  for (const [origin, count] of [
    ['admin', 1],
    ['config', 2],
  ] as const) {
    const found: DiscoveredList[] = [];
    await using discovery = createInstanceDiscovery({
      options,
      addressPolicy: createAddressPolicy(['10.9.0.0/16']),
      apply: async (lists) => void found.push(...lists),
    });
    discovery.follow(snapshotOf(['orders'], {}, origin));
    await until(() => found.length > 0);
    assert.equal(found[0]?.instances.length, count);
  }
});
