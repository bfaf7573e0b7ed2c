import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAddressPolicy } from '../../../subgraphs/address-policy.ts';
import type { DiscoveredList } from '../../../subgraphs/discovery/discovered-instances.ts';
import { createInstanceDiscovery } from '../../../subgraphs/discovery/instance-discovery.ts';
import type { Instance, Service, Snapshot } from '../../../subgraphs/snapshot.ts';
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
  assert.deepEqual(server.asked, ['A orders.test']);
  discovery.follow(snapshotOf(['orders'], { discovery: { dns: { name: 'other.test', port: 80 } } }));
  await until(() => applied.length === 2);
  assert.deepEqual(applied, ['10.0.0.1:80', '10.0.0.2:80']);
  discovery.follow({ revision: 9, services: [] });
  assert.deepEqual(discovery.status('orders'), []);
});

test('what stood back for another instance returns when that is gone, and the rest of the answer is not told again', async (t) => {
  const server = await startDnsServer(t);
  const address = (last: number) => ({ type: 'A', address: `10.0.0.${last}` }) as const;
  server.zone.set('orders.test', [address(1), address(2)]);
  const applied: (readonly [string, readonly string[]])[] = [];
  await using discovery = createInstanceDiscovery({
    options: { dns: { servers: [server.address] } },
    addressPolicy: createAddressPolicy(),
    apply: async (lists) =>
      void applied.push(...lists.map(({ extent, instances }) => [extent, instances.map(({ id }) => id)] as const)),
  });
  const leased: Instance = { id: 'x', url: 'http://10.0.0.1', weight: 1, origin: 'lease', draining: false };
  const withInstances = (...instances: readonly Instance[]): Snapshot => {
    const { revision, services } = snapshotOf(['orders']);
    return { revision, services: services.map((service) => ({ ...service, instances })) };
  };
  discovery.follow(withInstances());
  await until(() => applied.length === 1);
  for (const other of ['lease', 'discovered'] as const) {
    discovery.follow(
      withInstances({ ...leased, origin: other, ...(other === 'discovered' && { provider: 'docker' }) }),
    );
    discovery.follow(withInstances({ ...leased, url: 'http://10.0.0.9' }));
    await until(() => applied.length === (other === 'lease' ? 2 : 3));
  }
  assert.deepEqual(applied, [
    ['all', ['10.0.0.1:80', '10.0.0.2:80']],
    ['returning', ['10.0.0.1:80']],
    ['returning', ['10.0.0.1:80']],
  ]);
  assert.deepEqual(server.asked, ['A orders.test']);
});

test('what returns and could not be taken is brought again', async (t) => {
  const server = await startDnsServer(t);
  server.zone.set('orders.test', [{ type: 'A', address: '10.0.0.1' }]);
  const applied: string[] = [];
  const logged: string[] = [];
  await using discovery = createInstanceDiscovery({
    options: { dns: { servers: [server.address] } },
    addressPolicy: createAddressPolicy(),
    log: { info() {}, warn() {}, error: (message) => void logged.push(message) },
    clock: {
      now: () => performance.now(),
      date: () => new Date(),
      setTimer(callback, delayMs) {
        const timer = setTimeout(callback, delayMs === 5_000 ? 10 : delayMs);
        return { cancel: () => clearTimeout(timer) };
      },
    },
    async apply(lists) {
      applied.push(...lists.map(({ extent }) => extent));
      if (applied.length > 1 && applied.length < 4) throw new Error('the store is away');
    },
  });
  const twin: Instance = { id: 'x', url: 'http://10.0.0.1', weight: 1, origin: 'lease', draining: false };
  discovery.follow(snapshotOf(['orders']));
  await until(() => applied.length === 1);
  const { revision, services } = snapshotOf(['orders']);
  discovery.follow({ revision, services: services.map((service) => ({ ...service, instances: [twin] })) });
  discovery.follow(snapshotOf(['orders']));
  await until(() => applied.length === 4);
  assert.deepEqual(applied, ['all', 'returning', 'returning', 'returning']);
  assert.equal(logged.length, 1, 'a store that is away for long does not fill the log');
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
