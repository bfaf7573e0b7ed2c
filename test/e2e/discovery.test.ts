import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { startDnsServer } from '../subgraphs/discovery/dns-server.ts';
import { sendJson, startPlaneServer } from '../subgraphs/discovery/plane-server.ts';
import { until } from '../subgraphs/discovery/session.ts';
import { etcdSkipReason, startEtcd } from '../support/etcd.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';

/** A REST service on a port of its own at 127.0.0.1 that answers with a name. */
async function startService(t: TestContext, name: string): Promise<{ url: string; port: number }> {
  const server = createServer((_request, response) => response.end(name)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port };
}

const routes = [{ match: { path: '/orders' } }];

async function get({ url }: { url: string }): Promise<string> {
  const response = await fetch(`${url}/orders`);
  return response.ok ? await response.text() : String(response.status);
}

/** Asks until the answer is this one. */
async function untilAnswer(gateway: { url: string }, answer: string): Promise<void> {
  while ((await get(gateway)) !== answer) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function metric(gateway: TestGateway, line: RegExp): Promise<string | undefined> {
  return line.exec((await gateway.admin('GET', '/metrics')).body)?.[1];
}

describe('a gateway with discovery', () => {
  it('sends requests to what the DNS tells, keeps that when it fails, and says so', async (t) => {
    const dns = await startDnsServer(t);
    const [first, second] = [await startService(t, 'first'), await startService(t, 'second')];
    const srv = (port: number) => [{ type: 'SRV', priority: 0, weight: 0, port, target: 'here.test' }] as const;
    dns.zone.set('here.test', [{ type: 'A', address: '127.0.0.1', ttl: 0 }]);
    dns.zone.set('_http._tcp.orders.test', srv(first.port));
    const gateway = await startGateway(t, {
      discovery: { dns: { servers: [dns.address], timeout: '100ms' } },
      services: { orders: { routes, discovery: { dns: { name: '_http._tcp.orders.test', type: 'SRV' } } } },
    });
    await untilAnswer(gateway, 'first');
    dns.zone.set('_http._tcp.orders.test', srv(second.port));
    await untilAnswer(gateway, 'second');
    dns.trouble = 'servfail';
    await until(() => gateway.lines.some(({ msg }) => String(msg).startsWith('discovery fails')));
    assert.equal(await get(gateway), 'second');
    const { body } = await gateway.admin('GET', '/services/orders');
    assert.equal(body.discovery[0].state, 'failing');
    assert.equal(body.discovery[0].error, 'ESERVFAIL');
    assert.equal(body.discovery[0].instances, 1);
    assert.ok(body.discovery[0].answerAgeSeconds >= 0);
    assert.equal(await metric(gateway, /selvage_discovery_up\{service="orders",provider="dns"\} (\d)/), '0');
    assert.equal(await metric(gateway, /selvage_discovery_instances\{service="orders",provider="dns"\} (\d)/), '1');
    const { entries } = (await gateway.admin('GET', '/audit')).body;
    assert.ok(entries.some((entry: { author: string }) => entry.author === 'discovery'));
    // A service that is gone leaves no series behind.
    await gateway.gateway.reload({ store: 'memory', services: {} });
    assert.equal(await metric(gateway, /selvage_discovery_up\{service="(orders)"/), undefined);
  });

  it('starts at once although no provider answers', async (t) => {
    const silent = await startPlaneServer(t, () => {});
    const started = startGateway(t, {
      discovery: { consul: { url: silent.url }, etcd: { urls: [silent.url] }, docker: { socket: '/nowhere.sock' } },
      services: {
        orders: { routes, discovery: { consul: {}, etcd: {}, docker: {}, kubernetes: {} } },
        other: { graphql: {}, discovery: { consul: {} } },
      },
    });
    const gateway = await started;
    assert.equal(await get(gateway), '503');
    const { body } = await gateway.admin('GET', '/services/orders');
    const states = body.discovery.map(({ provider, state }: Record<string, string>) => `${provider} ${state}`);
    assert.deepEqual(states, ['kubernetes failing', 'consul waiting', 'etcd waiting', 'docker failing']);
  });

  it('serves what was found before, after a restart with the provider away', async (t) => {
    const service = await startService(t, 'here');
    const entry = { Node: { Address: '127.0.0.1' }, Service: { ID: 'orders-1', Address: '', Port: service.port } };
    let isUp = true;
    const consul = await startPlaneServer(t, ({ url }, response) => {
      if (!isUp) return response.writeHead(500).end();
      return url?.includes('index=') ? undefined : sendJson(response, [entry], { 'x-consul-index': '5' });
    });
    const folder = await makeFolder(t);
    const config = {
      discovery: { consul: { url: consul.url } },
      services: { orders: { routes, discovery: { consul: {} } } },
    };
    const before = await startGatewayProcess(t, folder, config);
    await untilAnswer(before, 'here');
    await before.end('SIGKILL');
    isUp = false;
    const after = await startGatewayProcess(t, folder, config);
    assert.equal(await get(after), 'here');
    await until(() => after.lines.some(({ msg }) => String(msg).startsWith('discovery fails')));
    assert.equal(await get(after), 'here');
    assert.equal(await after.end('SIGTERM'), 0, 'a provider holds up no shutdown');
  });

  it('takes other addresses of its providers without a restart, and refuses a service that names what it has not', async (t) => {
    const service = await startService(t, 'here');
    const entry = { Node: { Address: '127.0.0.1' }, Service: { ID: 'orders-1', Address: '', Port: service.port } };
    const consul = await startPlaneServer(t, ({ url }, response) =>
      url?.includes('index=') ? undefined : sendJson(response, [entry], { 'x-consul-index': '5' }),
    );
    const services = { orders: { routes, discovery: { consul: {} } } };
    const gateway = await startGateway(t, { services, discovery: { consul: { url: 'http://127.0.0.1:1' } } });
    assert.equal(await get(gateway), '503');
    await assert.rejects(gateway.gateway.reload({ store: 'memory', services }), /The configuration has a mistake/);
    const discovery = { consul: { url: consul.url, token: 'hush' }, teams: ['consul' as const] };
    await gateway.gateway.reload({ store: 'memory', services, discovery });
    await untilAnswer(gateway, 'here');
    assert.equal(consul.requests[0]?.headers['x-consul-token'], 'hush');
    const definition = { routes: [{ match: { path: '/more' } }], discovery: { consul: { service: 'orders' } } };
    assert.equal((await gateway.admin('PUT', '/services/more', definition)).status, 201);
    const refused = await gateway.admin('PUT', '/services/more', { ...definition, discovery: { etcd: {} } });
    assert.equal(refused.status, 403);
    assert.deepEqual(
      refused.body.reasons.map(({ path }: { path: string }) => path),
      ['/discovery/etcd', '/discovery/etcd'],
    );
    const text = JSON.stringify([gateway.lines, (await gateway.admin('GET', '/services')).body]);
    assert.ok(!text.includes('hush'), 'no credential stands in a log or an answer');
  });

  it('brings back what it found when the lease at the same URL ends, although the provider tells nothing new', async (t) => {
    const service = await startService(t, 'here');
    const entry = { Node: { Address: '127.0.0.1' }, Service: { ID: 'orders-1', Address: '', Port: service.port } };
    const consul = await startPlaneServer(t, ({ url }, response) =>
      url?.includes('index=') ? undefined : sendJson(response, [entry], { 'x-consul-index': '5' }),
    );
    const gateway = await startGateway(t, {
      discovery: { consul: { url: consul.url } },
      services: { orders: { routes, discovery: { consul: {} } } },
    });
    const list = async (): Promise<string> =>
      (await gateway.admin('GET', '/services/orders')).body.instances.map(({ id }: { id: string }) => id).join();
    await untilAnswer(gateway, 'here');
    const found = await list();
    await gateway.admin('PUT', '/services/orders/instances/leased', { url: service.url });
    assert.equal(await list(), 'leased');
    await gateway.admin('DELETE', '/services/orders/instances/leased');
    await untilAnswer(gateway, 'here');
    assert.equal(await list(), found);
    await gateway.admin('PUT', '/services/orders/instances/leased', { url: service.url, leaseSeconds: 1 });
    assert.equal(await list(), 'leased');
    while ((await list()) !== found) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(await get(gateway), 'here');
  });

  it('asks once for all workers, and each of them sends requests to what was found', async (t) => {
    const [first, second] = [await startService(t, 'first'), await startService(t, 'second')];
    const dns = await startDnsServer(t);
    const srv = (port: number) => [{ type: 'SRV', priority: 0, weight: 0, port, target: 'here.test' }] as const;
    dns.zone.set('here.test', [{ type: 'A', address: '127.0.0.1', ttl: 0 }]);
    dns.zone.set('_http._tcp.orders.test', srv(first.port));
    const gateway = await startGatewayProcess(t, await makeFolder(t), {
      workers: 2,
      discovery: { dns: { servers: [dns.address] } },
      services: {
        orders: { routes, discovery: { dns: { name: '_http._tcp.orders.test', type: 'SRV', interval: '1s' } } },
      },
    });
    /** Each with a connection of its own, so that both workers get some. */
    const ask = async () => (await fetch(`${gateway.url}/orders`, { headers: { connection: 'close' } })).text();
    const all = async () => new Set(await Promise.all(Array.from({ length: 20 }, ask)));
    await untilAnswer(gateway, 'first');
    while ((await all()).size > 1) await new Promise((resolve) => setTimeout(resolve, 20));
    dns.zone.set('_http._tcp.orders.test', srv(second.port));
    await untilAnswer(gateway, 'second');
    while ((await all()).size > 1) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual([...(await all())], ['second']);
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    assert.match(
      metrics,
      /^selvage_discovery_up\{service="orders",provider="dns"\} 1$/m,
      'one asks, not one per worker',
    );
    assert.match(metrics, /^selvage_discovery_instances\{service="orders",provider="dns"\} 1$/m);
  });

  it('makes one change of what two gateways on one registry find, and none of an equal answer', {
    skip: redisSkipReason,
  }, async (t) => {
    const redis = await startRedis();
    t.after(() => redis[Symbol.asyncDispose]());
    const services = [await startService(t, 'a'), await startService(t, 'b'), await startService(t, 'c')];
    const entries = services.map(({ port }, at) => ({
      Node: { Address: '127.0.0.1' },
      Service: { ID: `orders-${at}`, Address: '', Port: port },
    }));
    let [index, present] = [1, entries.slice(0, 2)];
    const waiting = new Set<() => void>();
    const consul = await startPlaneServer(t, ({ url }, response) => {
      // Never in the same order: what is equal is no change all the same.
      const answer = () => sendJson(response, present.reverse(), { 'x-consul-index': String(index) });
      if (url?.includes(`index=${index}`)) waiting.add(answer);
      else answer();
    });
    const tell = (next: typeof entries) => {
      [index, present] = [index + 1, next];
      for (const answer of waiting) answer();
      waiting.clear();
    };
    const config = {
      store: { redis: { url: redis.url, keyPrefix: `selvage-test:${randomUUID()}:` } },
      discovery: { consul: { url: consul.url } },
      services: { orders: { routes, discovery: { consul: {} } } },
    };
    const [one, two] = await Promise.all([startGateway(t, config), startGateway(t, config)]);
    const look = async (gateway: TestGateway) => {
      const { body } = await gateway.admin('GET', '/services/orders');
      const { revision } = (await gateway.admin('GET', '/graph')).body;
      const ids: string[] = body.instances.map(({ id }: { id: string }) => id);
      return { ids: ids.join(), revision: Number(revision) };
    };
    const untilBoth = async (ids: string): Promise<number> => {
      for (;;) {
        const [a, b] = [await look(one), await look(two)];
        if (a.ids === ids && b.ids === ids && a.revision === b.revision) return a.revision;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const begun = await untilBoth('orders-0,orders-1');
    for (let round = 0; round < 5; round++) {
      tell([...present]);
      await until(() => waiting.size === 2);
    }
    tell([...entries]);
    assert.equal(await untilBoth('orders-0,orders-1,orders-2'), begun + 1);
    tell(entries.slice(2));
    assert.equal(await untilBoth('orders-2'), begun + 2);
    const leased = { url: services[2]?.url };
    assert.equal((await two.admin('PUT', '/services/orders/instances/leased', leased)).status, 201);
    assert.equal(await untilBoth('leased'), begun + 3);
    await one.admin('DELETE', '/services/orders/instances/leased');
    assert.equal(await untilBoth('orders-2'), begun + 5, 'both bring it back, and it is one change');
    assert.equal((await fetch(`${two.url}/orders`)).status, 200);
    const { entries: audit } = (await one.admin('GET', '/audit')).body;
    const changes = audit.filter(({ action }: { action: string }) => action === 'instances.discover');
    assert.ok(changes.length <= 2, `${changes.length} entries: without a break they are counted, not listed`);
  });

  it('follows a real etcd', { skip: etcdSkipReason }, async (t) => {
    const etcd = await startEtcd(t);
    const service = await startService(t, 'here');
    const gateway = await startGateway(t, {
      discovery: { etcd: { urls: [etcd.url] } },
      services: { orders: { routes, discovery: { etcd: {} } } },
    });
    await etcd.put('/selvage/orders/a', service.url);
    await untilAnswer(gateway, 'here');
    await etcd.remove('/selvage/orders/a');
    await untilAnswer(gateway, '503');
  });
});
