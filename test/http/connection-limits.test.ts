import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectSession } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { askHttp2, connectHttp2 } from '../support/http2.ts';
import { buildFrame, connectRaw, endStream, requestFields } from '../support/http2-frames.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

async function startService(t: TestContext) {
  const waiting: (() => void)[] = [];
  const service = await startServer(t, (incoming, response) => {
    if (incoming.url === '/slow') {
      response.write('first half, ');
      waiting.push(() => response.end('second half'));
    } else response.end('ok');
  });
  const services: GatewayConfig['services'] = {
    rest: { instances: [{ url: service.url }], routes: [{ match: { path: '/*' } }] },
  };
  return { services, waiting };
}

/** A connection that may have been refused: then it is closed without a byte. */
async function open(t: TestContext, url: string): Promise<{ socket: Socket; isRefused: () => Promise<boolean> }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  const closed = new Promise<boolean>((resolve) => socket.once('close', () => resolve(true)));
  await once(socket, 'connect');
  return {
    socket,
    isRefused() {
      const answered = new Promise<boolean>((resolve) => socket.once('data', () => resolve(false)));
      socket.write('GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n');
      return Promise.race([closed, answered]);
    },
  };
}

async function readMetric(adminUrl: string, name: string): Promise<number> {
  const { text } = await ask(`${adminUrl}/metrics`);
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1]);
}

const held = 'selvage_client_connections';
const refused = 'selvage_refused_connections_total';

test('a connection beyond limits.maxConnections is closed at once, and one that ends makes room', async (t) => {
  const { services } = await startService(t);
  const gateway = await startGateway(t, {
    services,
    listen: { http2: { clear: true } },
    limits: { maxConnections: 3 },
  });
  const first = await open(t, gateway.url);
  const second = await open(t, gateway.url);
  assert.deepEqual([await first.isRefused(), await second.isRefused()], [false, false]);
  const session = await connectHttp2(t, gateway.url);
  assert.equal((await askHttp2(session, '/a')).status, 200, 'one of HTTP/2 counts like any other');
  assert.equal(await readMetric(gateway.adminUrl, held), 3);

  for (let i = 0; i < 2; i++) assert.equal(await (await open(t, gateway.url)).isRefused(), true);
  const unlucky = connectSession(gateway.url);
  unlucky.on('error', () => {});
  await once(unlucky, 'close');
  assert.equal(await readMetric(gateway.adminUrl, refused), 3);
  assert.equal(await first.isRefused(), false, 'those that are open go on');
  assert.equal((await askHttp2(session, '/a')).status, 200);

  second.socket.destroy();
  await until(async () => (await readMetric(gateway.adminUrl, held)) === 2, 'the end is noticed');
  assert.equal(await (await open(t, gateway.url)).isRefused(), false);
  session.destroy();
  await until(async () => (await readMetric(gateway.adminUrl, held)) === 2, 'also of HTTP/2');
});

test('workers that are full close what is more, and do not hand it round and round', async (t) => {
  const { services } = await startService(t);
  const gateway = await startGatewayProcess(t, await makeFolder(t), {
    workers: 2,
    services,
    limits: { maxConnections: 2 },
  });
  // Which worker gets a connection is not its choice: one may be full while the other has room.
  const all: Socket[] = [];
  let refusals = 0;
  for (let i = 0; i < 12; i++) {
    const { socket, isRefused } = await open(t, gateway.url);
    if (await isRefused()) refusals++;
    else all.push(socket);
  }
  assert.ok(all.length >= 2 && all.length <= 4, `${all.length} of 12`);
  const told = [await readMetric(gateway.adminUrl, held), await readMetric(gateway.adminUrl, refused)];
  assert.deepEqual(told, [all.length, refusals]);
  for (const socket of all) socket.destroy();
  await until(async () => (await readMetric(gateway.adminUrl, held)) === 0, 'all have ended');
  assert.equal(await (await open(t, gateway.url)).isRefused(), false);
});

test('a connection of HTTP/2 that asks nothing ends after limits.keepAliveTimeout, one that waits does not', async (t) => {
  const { services, waiting } = await startService(t);
  const gateway = await startGateway(t, {
    services,
    listen: { http2: { clear: true } },
    limits: { keepAliveTimeout: '1s' },
  });
  const busy = await connectHttp2(t, gateway.url);
  const pending = askHttp2(busy, '/slow');
  const used = await connectHttp2(t, gateway.url);
  assert.equal((await askHttp2(used, '/a')).status, 200);
  const silent = await connectHttp2(t, gateway.url);
  await Promise.all([ended(silent), ended(used)]);
  // Its time is over as well by now.
  assert.equal(busy.destroyed, false);
  waiting[0]?.();
  assert.equal((await pending).text, 'first half, second half');
  await ended(busy);
});

test('neither PING nor a head that never ends keeps a connection of HTTP/2 open, and it is told to go', async (t) => {
  const { services } = await startService(t);
  const gateway = await startGateway(t, {
    services,
    listen: { http2: { clear: true } },
    limits: { keepAliveTimeout: '1s' },
  });
  const pinging = await connectHttp2(t, gateway.url);
  assert.equal((await askHttp2(pinging, '/a')).status, 200);
  const slow = await connectRaw(t, gateway.url);
  slow.socket.write(buildFrame('headers', 1, requestFields('/a'), endStream));
  // The payload of the CONTINUATION comes byte by byte.
  slow.socket.write(buildFrame('continuation', 1, Buffer.alloc(1_000)).subarray(0, 9));
  const timer = setInterval(() => {
    if (!pinging.destroyed) pinging.ping(() => {});
    slow.socket.write(Buffer.alloc(1));
  }, 30);
  t.after(() => clearInterval(timer));
  const told = once(pinging, 'goaway');
  await ended(pinging);
  assert.equal((await told)[0], 0);
  await until(slow.isClosed, 'the other one is closed');
});

test('connections of HTTP/2 that are told to go end their streams whole, and take no new ones', async (t) => {
  const { services, waiting } = await startService(t);
  const gateway = await startGatewayProcess(t, await makeFolder(t), {
    workers: 2,
    services,
    listen: { http2: { clear: true } },
  });
  const sessions = await Promise.all(Array.from({ length: 4 }, () => connectHttp2(t, gateway.url)));
  const pending = sessions.flatMap((session) => [askHttp2(session, '/slow'), askHttp2(session, '/slow')]);
  await until(() => waiting.length === 8, 'all are under way');
  const told = Promise.all(sessions.map((session) => once(session, 'goaway')));
  const stopped = gateway.end('SIGTERM');
  for (const [code, last] of await told) assert.deepEqual([code, last >= 3], [0, true], 'both streams were taken');
  for (const session of sessions) await assert.rejects(async () => askHttp2(session, '/a'));
  for (const release of waiting) release();
  for (const { text } of await Promise.all(pending)) assert.equal(text, 'first half, second half');
  assert.equal(await stopped, 0);
});

async function ended(session: ClientHttp2Session): Promise<void> {
  if (!session.destroyed) await once(session, 'close');
}
