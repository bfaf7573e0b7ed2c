import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerRest, until } from '../support/registration.ts';
import { listenOn, socketRoute, startSocketService, startWithSockets } from './fixture.ts';

const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const handshake = [
  'Host: shop.example',
  'Connection: Upgrade',
  'Upgrade: websocket',
  `Sec-WebSocket-Key: ${key}`,
  'Sec-WebSocket-Version: 13',
];

/** Sends bytes and gathers what comes back until `enough`, or the end. */
async function sendRaw(url: string, text: string, enough: (answer: string) => boolean): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  let over = false;
  socket.on('data', (piece) => {
    answer += piece.toString('latin1');
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    over = true;
  });
  socket.write(text);
  await until(() => over || enough(answer), `an answer to ${JSON.stringify(text.slice(0, 200))}: ${answer}`, 5_000);
  socket.destroy();
  return answer;
}

function request(fields: readonly string[], method = 'GET', version = '1.1', path = '/ws/room'): string {
  return `${method} ${path} HTTP/${version}\r\n${fields.join('\r\n')}\r\n\r\n`;
}

const headOf = (answer: string) => answer.includes('\r\n\r\n');

/** A service that answers every head with the same bytes, and counts connections. */
async function startRawService(
  t: TestContext,
  respond: (socket: Socket, seen: string) => void,
): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      if (!headOf(text)) return;
      seen.push(text);
      respond(socket, text);
      text = '';
    });
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: await listenOn(server as never), seen };
}

test('an upgrade with a body is refused, and what stands in the body is never taken for anything', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const inner = request(['Host: x'], 'GET', '1.1', '/ws/smuggled');
  const bodies = [
    [`Content-Length: ${inner.length}`, inner],
    ['Transfer-Encoding: chunked', `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`],
  ] as const;
  for (const [field, body] of bodies) {
    const answer = await sendRaw(gateway.url, request([...handshake, field]) + body, headOf);
    assert.match(answer, /^HTTP\/1\.1 400 /, field);
    assert.doesNotMatch(answer, /smuggled|plain/);
  }
  assert.equal(service.asked.length, 0);
});

test('`Upgrade: h2c` is never forwarded: the request is answered in HTTP/1.1', async (t) => {
  let seen: string[] = [];
  const service = await startSocketService(t, {}, (asked, response) => {
    seen = asked.rawHeaders;
    response.end('plain');
  });
  const gateway = await startWithSockets(t, service);
  for (const protocol of ['h2c', 'h2', 'HTTP/2.0', 'TLS/1.2', 'h2c, http/3']) {
    const fields = [
      'Host: x',
      'Connection: Upgrade, HTTP2-Settings',
      `Upgrade: ${protocol}`,
      'HTTP2-Settings: AAMAAABkAAQAAP__',
    ];
    const answer = await sendRaw(gateway.url, request(fields), (text) => text.endsWith('plain'));
    assert.match(answer, /^HTTP\/1\.1 200 /, protocol);
    assert.ok(!seen.some((text) => /upgrade|h2c|http2-settings/i.test(text)), String(seen));
  }
  assert.equal(service.asked.length, 0);
});

test('with h2c beside websocket, only websocket goes to the service', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const fields = handshake.map((field) => (field.startsWith('Upgrade') ? 'Upgrade: h2c, WebSocket' : field));
  const answer = await sendRaw(gateway.url, request(fields), headOf);
  assert.match(answer, /^HTTP\/1\.1 101 /);
  assert.match(answer, /\r\nupgrade: websocket\r\n/i);
  assert.equal(service.asked[0]?.headers.upgrade, 'websocket');
});

test('Connection without Upgrade, Upgrade without Connection, and HTTP/1.0 are plain requests', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const plain = (text: string) => text.endsWith('plain');
  const without = (name: string) => handshake.filter((field) => !field.startsWith(name));
  assert.match(await sendRaw(gateway.url, request(without('Upgrade')), plain), /^HTTP\/1\.1 200 /);
  assert.match(await sendRaw(gateway.url, request(without('Connection')), plain), /^HTTP\/1\.1 200 /);
  assert.match(await sendRaw(gateway.url, request(handshake, 'GET', '1.0'), plain), /^HTTP\/1\.1 200 /);
  assert.equal(service.asked.length, 0);
});

test('a protocol that the route does not offer is ignored, one that it does is tied through as bytes', async (t) => {
  const service = await startRawService(t, (socket, seen) => {
    if (/upgrade: echo\/1/i.test(seen)) {
      socket.removeAllListeners('data');
      socket.write('HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\nfirst;');
      socket.pipe(socket);
    } else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain');
  });
  const route = { ...socketRoute, upgrade: { protocols: ['echo/1'] } };
  const gateway = await startWithSockets(t, service, route);
  const ask = (protocol: string) => request(['Host: x', 'Connection: upgrade', `Upgrade: ${protocol}`], 'POST');
  assert.match(await sendRaw(gateway.url, ask('other'), (text) => text.endsWith('plain')), /^HTTP\/1\.1 200 /);
  // Sent along with the request, and by the service with its answer: none of it is lost.
  const answer = await sendRaw(gateway.url, `${ask('ECHO/1')}early`, (text) => text.endsWith('early'));
  assert.match(answer, /^HTTP\/1\.1 101 .*\r\n\r\nfirst;early$/s);
});

test('an upgrade behind requests that are not answered yet is refused in its turn', async (t) => {
  const service = await startSocketService(t, {}, (_asked, response) => {
    setTimeout(() => response.end('late'), 100);
  });
  const gateway = await startWithSockets(t, service);
  const answer = await sendRaw(
    gateway.url,
    request(['Host: x']) + request(handshake),
    (text) => (text.match(/HTTP\/1\.1 /g) ?? []).length === 2,
  );
  assert.match(answer, /^HTTP\/1\.1 200 .*late.*HTTP\/1\.1 400 /s);
  assert.equal(service.asked.length, 0);
});

test('an upgrade may follow answers on the same connection', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  t.after(() => socket.destroy());
  let answer = '';
  socket.on('data', (piece) => {
    answer += piece.toString('latin1');
  });
  socket.write(request(['Host: x']));
  await until(() => answer.endsWith('plain'), 'an answer');
  socket.write(request(handshake));
  await until(() => answer.includes('HTTP/1.1 101 '), 'a switch');
});

test('a handshake without a proper key, or by another method, is refused', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startWithSockets(t, service);
  const keys = [[], ['Sec-WebSocket-Key: short'], [`Sec-WebSocket-Key: ${key}`, `Sec-WebSocket-Key: ${key}`]];
  const rest = handshake.filter((field) => !field.startsWith('Sec-WebSocket-Key'));
  for (const fields of keys) {
    assert.match(await sendRaw(gateway.url, request([...rest, ...fields]), headOf), /^HTTP\/1\.1 400 /);
  }
  assert.match(await sendRaw(gateway.url, request(handshake, 'POST'), headOf), /^HTTP\/1\.1 400 /);
  assert.equal(service.asked.length, 0);
});

test('a 101 that does not answer the handshake is 502, and so is one that nobody asked for', async (t) => {
  const heads = [
    'Connection: upgrade\r\nUpgrade: websocket\r\n',
    'Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: bm90IHRoaXMgb25lLCBub3RoaW5n\r\n',
    `Connection: upgrade\r\nUpgrade: other\r\nSec-WebSocket-Accept: ${accept}\r\n`,
  ];
  for (const head of heads) {
    const service = await startRawService(t, (socket) => socket.write(`HTTP/1.1 101 Switching\r\n${head}\r\nbytes`));
    const gateway = await startWithSockets(t, service);
    const answer = await sendRaw(gateway.url, request(handshake), headOf);
    assert.match(answer, /^HTTP\/1\.1 502 /, head);
    assert.match(answer, /DOWNSTREAM_SERVICE_ERROR/);
    const plain = await fetch(`${gateway.url}/ws/room`);
    assert.equal(plain.status, 502);
  }
});

test('a 101 without Upgrade is no answer: the attempt ends with its time', async (t) => {
  const service = await startRawService(t, (socket) => socket.write('HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 200'));
  const gateway = await startWithSockets(t, service, { ...socketRoute, timeout: '300ms' });
  assert.match(await sendRaw(gateway.url, request(handshake), headOf), /^HTTP\/1\.1 50[24] /);
  const plain = await fetch(`${gateway.url}/ws/room`);
  assert.ok([502, 504].includes(plain.status), String(plain.status));
});

test('a 101 with fields of a body, hop-by-hop fields and cookies goes out clean', async (t) => {
  const service = await startRawService(t, (socket) =>
    socket.write(
      `HTTP/1.1 101 Switching\r\nConnection: upgrade, x-inner\r\nX-Inner: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n\x81\x02hi`,
      'latin1',
    ),
  );
  const gateway = await startWithSockets(t, service);
  const answer = await sendRaw(gateway.url, request(handshake), (text) => text.endsWith('hi'));
  assert.match(answer, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assert.doesNotMatch(answer, /x-inner|content-length|transfer-encoding/i);
  assert.match(answer, /set-cookie: a=1\r\nset-cookie: b=2\r\n/i);
  assert.match(answer, /\r\nx-request-id: /i);
  assert.ok(answer.endsWith('\r\n\r\n\x81\x02hi'));
});

test('a client that leaves during the handshake takes the attempt along', async (t) => {
  let ended = false;
  const service = await startRawService(t, (socket) => {
    socket.on('close', () => {
      ended = true;
    });
  });
  const gateway = await startGateway(t);
  await registerRest(gateway, 'chat', service.url, [socketRoute]);
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  socket.write(request(handshake));
  await until(() => service.seen.length === 1, 'the service is asked');
  socket.destroy();
  await until(() => ended, 'the attempt is over');
  await until(() => gateway.lines.some(({ status }) => status === 499), 'the log says so');
});
