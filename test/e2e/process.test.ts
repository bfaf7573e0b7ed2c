import assert from 'node:assert/strict';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

const put = async (adminUrl: string, path: string, body: object) =>
  (
    await fetch(adminUrl + path, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  ).status;
const ask = async (url: string, query: string) =>
  (
    await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    })
  ).json();

test('after kill -9 the last good graph serves at once, also while every service is down', async (t) => {
  const folder = await makeFolder(t);
  const service = await startSubgraph(t, 'type Query { a: Int }', { Query: { a: () => 1 } });
  const first = await startGatewayProcess(t, folder);
  assert.equal(await put(first.adminUrl, '/services/a', { graphql: {} }), 201);
  assert.equal(await put(first.adminUrl, '/services/a/instances/a-1', { url: service.url, leaseSeconds: 60 }), 201);
  assert.deepEqual(await ask(first.url, '{ a }'), { data: { a: 1 } });
  const { id } = await (await fetch(`${first.adminUrl}/graph`)).json();
  await first.end('SIGKILL');
  await service.kill();

  const second = await startGatewayProcess(t, folder);
  assert.equal((await fetch(`${second.url}/health/ready`)).status, 200);
  assert.equal((await (await fetch(`${second.adminUrl}/graph`)).json()).id, id);
  const down = await ask(second.url, '{ a __typename }');
  assert.deepEqual(down.data, { a: null, __typename: 'Query' });
  await service.restart();
  await until(async () => (await ask(second.url, '{ a }')).data?.a === 1, 'healing after the restart');
});

test('a damaged registry is set aside with a message and never blocks the start', async (t) => {
  const folder = await makeFolder(t);
  const first = await startGatewayProcess(t, folder);
  assert.equal(await put(first.adminUrl, '/services/a', { routes: [{ match: { path: '/a' } }] }), 201);
  await first.end('SIGKILL');
  const store = join(folder, 'store');
  const file = (await readdir(store)).find((name) => name.endsWith('.json')) ?? '';
  await truncate(join(store, file), Math.floor((await readFile(join(store, file))).length / 2));
  const second = await startGatewayProcess(t, folder);
  assert.deepEqual((await (await fetch(`${second.adminUrl}/services`)).json()).services, []);
  assert.ok((await readdir(store)).some((name) => name.includes('damaged')));
  assert.ok(second.lines.some((line) => /damaged/.test(JSON.stringify(line))));
});

test('SIGTERM ends requests in flight whole, refuses new ones, and exits with 0', async (t) => {
  const folder = await makeFolder(t);
  const release = Promise.withResolvers<void>();
  let arrived = 0;
  const service = await startServer(t, async (_, response) => {
    arrived++;
    response.write('first half, ');
    await release.promise;
    response.end('second half');
  });
  const gateway = await startGatewayProcess(t, folder, {
    services: { slow: { routes: [{ match: { path: '/slow' } }], instances: [{ url: service.url }] } },
  });
  const pending = Array.from({ length: 5 }, async () => (await fetch(`${gateway.url}/slow`)).text());
  await until(() => arrived === 5, 'all requests are in flight');
  const ended = gateway.end('SIGTERM');
  const port = Number(new URL(gateway.url).port);
  await until(() => refuses(port), 'the port is closed');
  release.resolve();
  assert.deepEqual(await Promise.all(pending), Array(5).fill('first half, second half'));
  assert.equal(await ended, 0);
});

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}

test('while it drains it is not ready, and still serves for the configured delay', async (t) => {
  const folder = await makeFolder(t);
  const gateway = await startGatewayProcess(t, folder, { shutdown: { delay: '1s' } });
  assert.equal((await fetch(`${gateway.url}/health/ready`)).status, 200);
  const ended = gateway.end('SIGTERM');
  await until(async () => (await fetch(`${gateway.url}/health/ready`)).status === 503, 'not ready');
  assert.equal((await fetch(`${gateway.url}/health/live`)).status, 200);
  assert.equal(await ended, 0);
});

test('a changed configuration is swapped in without a restart, a bad one is refused and logged', async (t) => {
  const folder = await makeFolder(t);
  const gateway = await startGatewayProcess(t, folder);
  const service = await startServer(t, (_, response) => response.end('new'));
  const file = join(folder, 'selvage.json');
  const config = JSON.parse(await readFile(file, 'utf8'));
  const services = { late: { routes: [{ match: { path: '/late' } }], instances: [{ url: service.url }] } };
  await writeFile(file, JSON.stringify({ ...config, services }));
  await until(async () => (await fetch(`${gateway.url}/late`)).status === 200, 'the new route');
  await writeFile(file, JSON.stringify({ ...config, services: { late: { routes: 'x' } } }));
  await until(
    () =>
      gateway.lines.some(
        (line) => /config/i.test(String(line['msg'])) && ['error', 50].includes(line['level'] as never),
      ),
    'the refusal is logged',
  );
  assert.equal((await fetch(`${gateway.url}/late`)).status, 200, 'the old one stays');
});

test('an admin port for everyone without tokens is a mistake of the configuration', async (t) => {
  const folder = await makeFolder(t);
  await assert.rejects(startGatewayProcess(t, folder, { admin: { host: '0.0.0.0' } }), /token/);
});
