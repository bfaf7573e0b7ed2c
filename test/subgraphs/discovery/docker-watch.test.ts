import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createProviders } from '../../../subgraphs/discovery/providers.ts';
import type { DockerLookup } from '../../../subgraphs/discovery/service-discovery.ts';
import { makeTestFolder, sendJson, startPlaneServer } from './plane-server.ts';
import { startSession, until, urlsOf } from './session.ts';

// An HTTP server on a unix socket that answers /containers/json and /events as the Engine's API documents them.

async function start(t: TestContext, lookup: DockerLookup = {}) {
  const socketPath = join(makeTestFolder(t), 'docker.sock');
  const streams = new Set<ServerResponse>();
  const engine = {
    containers: [] as unknown,
    emit: (event: unknown) => {
      for (const stream of streams) stream.write(`${JSON.stringify(event)}\n`);
    },
    cut: () => {
      for (const stream of streams) stream.destroy();
    },
    streams,
  };
  const server = await startPlaneServer(
    t,
    (request, response) => {
      if (!request.url?.startsWith('/events')) return sendJson(response, engine.containers);
      streams.add(response);
      response.on('close', () => streams.delete(response));
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    },
    { socketPath },
  );
  const providers = createProviders({ docker: { socket: socketPath } });
  t.after(() => providers[Symbol.asyncDispose]());
  const watch = providers.createWatch('docker', { docker: lookup }, 'orders');
  assert.ok(watch);
  return { engine, server, watch };
}

function container(id: string, address: string, labels: object = {}, more: object = {}) {
  return {
    Id: id.repeat(64).slice(0, 64),
    Names: [`/shop-${id}`],
    Status: 'Up 2 minutes',
    Labels: { 'selvage.service': 'orders', 'selvage.port': '8080', ...labels },
    Ports: [],
    HostConfig: { NetworkMode: 'shop' },
    NetworkSettings: { Networks: { shop: { IPAddress: address, GlobalIPv6Address: '' } } },
    ...more,
  };
}

describe('discovery by Docker', () => {
  it('lists the containers with the label, and looks again when an event says so', async (t) => {
    const { engine, server, watch } = await start(t);
    engine.containers = [
      container('a', '172.18.0.2', { 'selvage.weight': '3', 'selvage.zone': 'rack-1', 'selvage.version': '1.4.0' }),
    ];
    const session = startSession(t, watch);
    const found = await session.until((list) => list.length === 1);
    assert.deepEqual(found, [
      { id: 'shop-a:aaaaaaaaaaaa', url: 'http://172.18.0.2:8080', weight: 3, zone: 'rack-1', version: '1.4.0' },
    ]);
    engine.containers = [container('a', '172.18.0.2'), container('b', '172.18.0.3')];
    await until(() => engine.streams.size > 0);
    engine.emit({ Type: 'container', Action: 'start' });
    assert.deepEqual(urlsOf(await session.until((list) => list.length === 2)), [
      'http://172.18.0.2:8080',
      'http://172.18.0.3:8080',
    ]);
    const [list, events] = ['/containers/json', '/events'].map((path) =>
      server.requests.find((request) => request.path.startsWith(path)),
    );
    assert.deepEqual(JSON.parse(new URL(list?.path ?? '', 'http://docker').searchParams.get('filters') ?? ''), {
      label: ['selvage.service=orders'],
      status: ['running'],
    });
    assert.match(events?.path ?? '', /selvage\.service%3Dorders/);
  });

  it('does not look for an exec, which a health check of Docker makes every few seconds', async (t) => {
    const { engine, server, watch } = await start(t);
    engine.containers = [container('a', '172.18.0.2')];
    const session = startSession(t, watch);
    await session.until((list) => list.length === 1);
    await until(() => engine.streams.size > 0);
    for (const Action of ['exec_create: sh', 'exec_start: sh', 'exec_die']) engine.emit({ Action });
    engine.containers = [];
    engine.emit({ Action: 'health_status: unhealthy' });
    await session.until((list) => list.length === 0);
    assert.equal(server.requests.filter(({ path }) => path.startsWith('/containers')).length, 2);
  });

  it('leaves out what is not healthy or not yet, and finds the port that is not named', async (t) => {
    const { engine, watch } = await start(t, { network: 'inner' });
    const networks = { Networks: { outer: { IPAddress: '1.1.1.1' }, inner: { IPAddress: '172.19.0.4' } } };
    engine.containers = [
      container('a', '172.18.0.2', {}, { Status: 'Up 3 seconds (health: starting)' }),
      container('b', '172.18.0.3', {}, { Status: 'Up 1 hour (unhealthy)' }),
      {
        ...container('c', '', {}, { Ports: [{ PrivatePort: 9000, Type: 'tcp' }], NetworkSettings: networks }),
        Labels: { 'selvage.service': 'orders' },
      },
      container('d', '', {}, { HostConfig: { NetworkMode: 'host' } }),
    ];
    const found = await startSession(t, watch).until((list) => list.length === 2);
    assert.deepEqual(urlsOf(found), ['http://127.0.0.1:8080', 'http://172.19.0.4:9000']);
  });

  it('fails when the events break off, and when the socket is not there', async (t) => {
    const { engine, watch } = await start(t);
    engine.containers = [container('a', '172.18.0.2')];
    const session = startSession(t, watch);
    await session.until((list) => list.length === 1);
    await until(() => engine.streams.size > 0);
    engine.cut();
    assert.ok((await session.ended) instanceof Error);
    await using providers = createProviders({ docker: { socket: '/nowhere/docker.sock' } });
    const other = startSession(t, providers.createWatch('docker', { docker: {} }, 'orders') ?? watch);
    assert.equal(((await other.ended) as NodeJS.ErrnoException).code, 'ENOENT');
  });

  it('refuses a list that is none', async (t) => {
    const { engine, watch } = await start(t);
    engine.containers = [{ Id: 'a', Labels: { port: 80 } }];
    const session = startSession(t, watch);
    assert.match(((await session.ended) as Error).message, /^Docker answered what is no answer: \/0\/Labels\/port/);
  });
});
