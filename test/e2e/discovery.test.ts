import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { startDnsServer } from '../subgraphs/discovery/dns-server.ts';
import { sendJson, startPlaneServer } from '../subgraphs/discovery/plane-server.ts';
import { until } from '../subgraphs/discovery/session.ts';
import { etcdSkipReason, startEtcd } from '../support/etcd.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';

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
