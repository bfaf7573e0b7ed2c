import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { connect, createServer as createNetServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { WebSocket } from 'ws';
import { startGateway } from '../support/gateway.ts';
import { registerRest, until } from '../support/registration.ts';
import { listenOn, openRefused, openSocket, socketRoute, startSocketService, startWithSockets } from './fixture.ts';

test('a service that is killed ends its WebSockets at once, and the log says whose fault it was', async (t) => {
  const program = `
    const { WebSocketServer } = require('ws');
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => console.log(server.address().port));
    server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const port = await new Promise<string>((resolve) =>
    child.stdout.once('data', (text) => resolve(String(text).trim())),
  );
  const gateway = await startWithSockets(t, { url: `http://127.0.0.1:${port}` });
  const peers = await Promise.all([openSocket(t, gateway), openSocket(t, gateway)]);
  for (const peer of peers) {
    peer.socket.send('hello');
    await peer.next();
  }
  child.kill('SIGKILL');
  for (const peer of peers) assert.equal((await peer.closed).code, 1006);
  await until(() => gateway.lines.filter(({ end }) => /^service/.test(String(end))).length === 2, 'the log says so');
  assert.equal((await openRefused(gateway)).status, 503);
});

test('a client that resets its connection takes that to the service along', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const peer = await openSocket(t, gateway);
  assert.equal(service.sockets.clients.size, 1);
  (peer.socket as WebSocket & { _socket: Socket })._socket.resetAndDestroy();
  await until(() => service.sockets.clients.size === 0, 'the service has none left');
  await until(() => gateway.lines.some(({ end }) => end === 'client-broken'), 'the log says so');
});

test('what a service said before it ended arrives whole', async (t) => {
  const size = 20_000_000;
  const server = createNetServer((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: dump\r\n\r\n');
      socket.end(Buffer.alloc(size, 'x'));
    });
    socket.on('error', () => {});
  });
  t.after(() => server.close());
  const url = await listenOn(server as never);
  const gateway = await startWithSockets(t, { url }, { ...socketRoute, upgrade: { protocols: ['dump'] } });
  const { request } = await import('node:http');
  const received = await new Promise<number>((resolve, reject) => {
    const asking = request(`${gateway.url}/ws/dump`, { headers: { connection: 'upgrade', upgrade: 'dump' } });
    asking.on('error', reject);
    asking.on('upgrade', (_head, socket, first) => {
      let bytes = first.length;
      socket.on('data', (piece: Buffer) => {
        bytes += piece.length;
      });
      socket.on('end', () => resolve(bytes));
      socket.on('error', reject);
    });
    asking.end();
  });
  assert.equal(received, size);
});

test('a client that has said all still hears what the service answers to that', async (t) => {
  const server = createNetServer({ allowHalfOpen: true }, (socket) => {
    let heard = '';
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: sum\r\n\r\n');
      socket.on('data', (piece) => {
        heard += piece.toString();
      });
      socket.on('end', () => setTimeout(() => socket.end(`heard ${heard}`), 50));
    });
  });
  t.after(() => server.close());
  const url = await listenOn(server as never);
  const gateway = await startWithSockets(t, { url }, { ...socketRoute, upgrade: { protocols: ['sum'] } });
  const socket = connect({ port: Number(new URL(gateway.url).port), host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => socket.destroy());
  let answer = '';
  let over = false;
  socket.on('data', (piece) => {
    answer += piece.toString();
  });
  socket.on('end', () => {
    over = true;
  });
  socket.write('GET /ws/sum HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: sum\r\n\r\n');
  await until(() => answer.includes('\r\n\r\n'), 'the switch');
  socket.end('one two');
  await until(() => over, 'the end');
  assert.match(answer, /\r\n\r\nheard one two$/);
  await until(() => gateway.lines.some(({ end }) => end === 'client'), 'the log says who ended first');
});

test('a client that does not read stops the service from sending, and the memory of the gateway stays bounded', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const peer = await openSocket(t, gateway);
  peer.socket.pause();
  const [atService] = [...service.sockets.clients];
  const block = Buffer.alloc(1_000_000);
  for (let i = 0; i < 100; i++) atService?.send(block);
  // All that the sockets in between take has been taken when nothing moves any more.
  let before = -1;
  await until(async () => {
    const left = atService?.bufferedAmount ?? 0;
    const still = left === before;
    before = left;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return still;
  }, 'nothing moves');
  assert.ok(before > 80_000_000, `${before} bytes wait at the service`);
  let bytes = 0;
  peer.socket.on('message', (data: Buffer) => {
    bytes += data.length;
  });
  peer.socket.resume();
  await until(() => bytes === 100_000_000, 'all of it arrives');
});

test('while nothing was sent, another instance is tried; a dead one leaves the rotation', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startGateway(t);
  const dead = createNetServer();
  const deadUrl = await listenOn(dead as never);
  await new Promise((resolve) => dead.close(resolve));
  await registerRest(gateway, 'chat', service.url, [socketRoute], {
    instances: [
      { id: 'dead', url: deadUrl },
      { id: 'well', url: service.url },
    ],
    loadBalancing: { algorithm: 'round-robin' },
  });
  for (let i = 0; i < 4; i++) await openSocket(t, gateway);
  assert.equal(service.asked.length, 4);
});

test('a service that is asked and says nothing is not asked again elsewhere', async (t) => {
  let asked = 0;
  const listener = (socket: Socket) => {
    socket.on('data', () => asked++);
    socket.on('error', () => {});
    t.after(() => socket.destroy());
  };
  const servers = [createNetServer(listener), createNetServer(listener)];
  t.after(() => servers.map((server) => server.close()));
  const urls = await Promise.all(servers.map((server) => listenOn(server as never)));
  const gateway = await startGateway(t);
  await registerRest(gateway, 'chat', '', [{ ...socketRoute, timeout: '200ms' }], {
    instances: urls.map((url, index) => ({ id: `i${index}`, url })),
  });
  const refused = await openRefused(gateway);
  assert.equal(refused.status, 504);
  assert.equal(asked, 1);
});

test('500 idle WebSockets live through a change of the registry and of the graph', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const peers = [];
  for (let i = 0; i < 10; i++) {
    peers.push(...(await Promise.all(Array.from({ length: 50 }, () => openSocket(t, gateway)))));
  }
  await registerRest(gateway, 'chat', service.url, [{ ...socketRoute, match: { path: '/other/*' } }]);
  await gateway.admin('PUT', '/services/more', { graphql: { schema: 'type Query { a: Int }', kind: 'plain' } });
  assert.equal((await openRefused(gateway)).status, 404);
  for (const { socket } of peers) socket.send('still here');
  for (const peer of peers) assert.equal((await peer.next()).data.toString(), 'still here');
  // Not even the end of the service in the registry is that of what it has open.
  await gateway.admin('DELETE', '/services/chat');
  for (const { socket } of peers) socket.send('and here');
  for (const peer of peers) assert.equal((await peer.next()).data.toString(), 'and here');
});
