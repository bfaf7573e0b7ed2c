import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import { test } from 'node:test';
import { until } from '../support/registration.ts';
import { listenOn, openRefused, openSocket, socketRoute, startSocketService, startWithSockets } from './fixture.ts';

test('an idle WebSocket is closed with 1001 on both sides; one that pings lives on', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service, { ...socketRoute, upgrade: { idleTimeout: '400ms' } });
  const lively = await openSocket(t, gateway);
  const pinging = setInterval(() => lively.socket.ping(), 50);
  t.after(() => clearInterval(pinging));
  const heard: number[] = [];
  const idle = await openSocket(t, gateway);
  for (const each of service.sockets.clients) each.once('close', (code) => heard.push(code));
  assert.equal((await idle.closed).code, 1001);
  await until(() => heard.length === 1, 'the service hears of it');
  assert.deepEqual(heard, [1001]);
  assert.equal(lively.socket.readyState, lively.socket.OPEN);
  await until(() => gateway.lines.some(({ end }) => end === 'idle'), 'the log says so');
});

test('a WebSocket ends with its lifetime, however busy it is', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service, { ...socketRoute, upgrade: { maxLifetime: '500ms' } });
  const peer = await openSocket(t, gateway);
  const sending = setInterval(() => peer.socket.send('x'.repeat(100_000)), 5);
  t.after(() => clearInterval(sending));
  // Every message that arrives is whole: the Close frame stands between two.
  peer.socket.on('message', (data: Buffer) => assert.equal(data.length, 100_000));
  assert.equal((await peer.closed).code, 1001);
  await until(() => gateway.lines.some(({ end }) => end === 'lifetime'), 'the log says so');
});

test('no more than `limits.maxUpgrades` are open, and room is there again when one ends', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service, socketRoute, { limits: { maxUpgrades: 2 } });
  const first = await openSocket(t, gateway);
  await openSocket(t, gateway);
  const refused = await openRefused(gateway);
  assert.equal(refused.status, 503);
  assert.equal(JSON.parse(refused.body).code, 'OVERLOADED');
  first.socket.close();
  await first.closed;
  await until(() => gateway.lines.some(({ status }) => status === 101), 'it is over');
  await openSocket(t, gateway);
});

test('a concurrency limit holds for as long as WebSockets are open: so many for each viewer', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service, {
    ...socketRoute,
    rateLimit: [{ name: 'sockets', algorithm: 'concurrency', limit: 1, key: 'ip' }],
  });
  const first = await openSocket(t, gateway);
  assert.equal((await openRefused(gateway)).status, 429);
  first.socket.close();
  await first.closed;
  await until(() => gateway.lines.some(({ status }) => status === 101), 'it is over');
  await openSocket(t, gateway);
});

test('a gateway that stops closes WebSockets with 1001 on both sides and does not wait for the end of its grace', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service, socketRoute, { shutdown: { grace: '20s' } });
  const heard: number[] = [];
  const peers = await Promise.all(Array.from({ length: 20 }, () => openSocket(t, gateway)));
  for (const each of service.sockets.clients) each.once('close', (code) => heard.push(code));
  // Messages under way on both sides of it.
  for (const { socket } of peers) socket.send('x'.repeat(300_000));
  const begun = performance.now();
  await gateway.gateway.stop();
  assert.ok(performance.now() - begun < 15_000);
  for (const peer of peers) assert.equal((await peer.closed).code, 1001);
  await until(() => heard.length === 20, 'the service hears of it');
  assert.deepEqual(new Set(heard), new Set([1001]));
  const ends = gateway.lines.filter(({ status }) => status === 101).map(({ end }) => end);
  assert.deepEqual(ends, Array(20).fill('drain'));
});

test('peers that do not answer the Close frame, and other protocols, are cut when the grace is over', async (t) => {
  const sockets = new Set<{ destroy(): void }>();
  const service = createNetServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => socket.write('HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n'));
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    service.close();
  });
  const url = await listenOn(service as never);
  const gateway = await startWithSockets(
    t,
    { url },
    { ...socketRoute, upgrade: { protocols: ['raw'] } },
    { shutdown: { grace: '300ms' } },
  );
  const { request } = await import('node:http');
  let bytes = 0;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  await new Promise<void>((open, reject) => {
    const asking = request(`${gateway.url}/ws/x`, { headers: { connection: 'upgrade', upgrade: 'raw' } });
    asking.on('error', reject);
    asking.on('upgrade', (_head, socket, first) => {
      bytes += first.length;
      socket.on('data', (piece: Buffer) => {
        bytes += piece.length;
      });
      socket.on('close', () => resolve());
      socket.on('error', () => {});
      open();
    });
    asking.end();
  });
  await gateway.gateway.stop();
  await ended;
  assert.equal(bytes, 0);
});

test('a limit of bytes counts what passes in WebSockets, and the answer in place of one', async (t) => {
  const warnings: string[] = [];
  const warn = ({ message }: Error) => warnings.push(message);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  const service = await startSocketService(t, {
    verifyClient: ({ req }: { req: IncomingMessage }) => req.url !== '/closed',
  });
  const gateway = await startWithSockets(t, service, {
    ...socketRoute,
    rateLimit: [{ name: 'traffic', count: 'bytes', limit: '10kb', window: '1h', key: 'ip' }],
  });
  const left = async () => {
    const { headers } = await fetch(`${gateway.url}/ws/plain`);
    return Number(/;r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1] ?? 0);
  };
  const begun = await left();
  assert.equal((await openRefused(gateway, '/ws/closed')).status, 401);
  const refused = await left();
  assert.ok(refused < begun - 10, `${begun} were left, then ${refused}`);
  const peer = await openSocket(t, gateway);
  peer.socket.send('x'.repeat(3_000));
  await peer.next();
  peer.socket.close();
  await peer.closed;
  await until(() => gateway.lines.some(({ status }) => status === 101), 'it is over');
  const talked = await left();
  assert.ok(talked < refused - 6_000, `${refused} were left, then ${talked}`);
  assert.deepEqual(warnings, []);
});
