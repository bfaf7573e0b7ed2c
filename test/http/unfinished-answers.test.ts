import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

// Answers of requests that came together wait for their turn. What becomes of them meanwhile must not get lost.

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: shop.example\r\n\r\n`;
const whole = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst';

test('an answer that breaks off while it waits for its turn ends the connection behind those before it', async (t) => {
  const gateway = await startGateway(t);
  const late = await startRawService(t, (socket) => setTimeout(() => socket.write(whole), 300));
  const cut = await startRawService(t, (socket) => {
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\npart');
  });
  await registerRest(gateway, 'late', late.url, [{ match: { path: '/late' } }]);
  await registerRest(gateway, 'cut', cut.url, [{ match: { path: '/cut' } }]);
  const { text, statuses, closed } = await sendRaw(gateway.url, get('/late') + get('/cut') + get('/late'), {
    silenceMs: 5_000,
  });
  assert.equal(closed, true);
  assert.match(text, /\r\n\r\nfirst/);
  assert.ok(statuses.length <= 2, `nothing follows what broke off: ${text}`);
  await until(() => gateway.lines.some(({ path }) => path === '/cut'), 'the line of the answer that broke off');
  const line = gateway.lines.find(({ path, msg }) => path === '/cut' && msg === 'request');
  assert.deepEqual([line?.['status'], line?.['code']], [200, 'DOWNSTREAM_SERVICE_ERROR']);
});

test('interim answers stay in front of the head of an answer that waits for its turn', async (t) => {
  const gateway = await startGateway(t);
  const late = await startRawService(t, (socket) => setTimeout(() => socket.write(whole), 300));
  const body = Buffer.alloc(20_000, 'x');
  const hinting = await startRawService(t, (socket) => {
    socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n');
    socket.write(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n'), body]));
  });
  const echo = await startServer(t, (request, response) => {
    request.resume().on('end', () => response.writeHead(200, { 'content-length': '20000' }).end(body));
  });
  await registerRest(gateway, 'late', late.url, [{ match: { path: '/late' } }]);
  await registerRest(gateway, 'hinting', hinting.url, [{ match: { path: '/hinting' } }]);
  await registerRest(gateway, 'echo', echo.url, [{ match: { path: '/echo' } }]);
  const hinted = await sendRaw(gateway.url, get('/late') + get('/hinting'), { until: /x{20000}$/ });
  assert.deepEqual(hinted.statuses, [200, 103, 200]);
  assert.match(hinted.text, /\r\n\r\nx{20000}$/);
  const upload = 'POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 400000\r\n\r\n';
  const [asked, piece] = [get('/late') + upload, 'y'.repeat(100_000)];
  const continued = await sendRaw(gateway.url, [asked, piece, piece, piece, piece], { until: /x{20000}$/ });
  assert.deepEqual(continued.statuses.at(-1), 200);
  assert.match(continued.text, /\r\n\r\nx{20000}$/);
});

test('services of answers that wait for their turn are let go when the client leaves', async (t) => {
  const gateway = await startGateway(t);
  const silent = await startRawService(t, () => {});
  const endless = await startRawService(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n');
    socket.write(Buffer.alloc(20_000_000));
  });
  await registerRest(gateway, 'silent', silent.url, [{ match: { path: '/silent' } }], { timeout: '1h' });
  await registerRest(gateway, 'endless', endless.url, [{ match: { path: '/endless' } }]);
  const { port } = new URL(gateway.url);
  const client = connect(Number(port), '127.0.0.1').on('error', () => {});
  client.write(get('/silent') + get('/endless'));
  const asked = ({ received }: { received: string[] }, path: string) => received.some((text) => text.includes(path));
  await until(() => asked(silent, 'GET /silent') && asked(endless, 'GET /endless'), 'both requests arrive');
  client.resetAndDestroy();
  await until(() => [...silent.sockets, ...endless.sockets].length === 0, 'the connections to the services are closed');
});

test('a service that breaks off behind its head, before any of the body, has given no answer', async (t) => {
  const gateway = await startGateway(t);
  const cut = await startRawService(t, (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n'));
  await registerRest(gateway, 'cut', cut.url, [{ match: { path: '/cut' } }]);
  const { statuses, text } = await sendRaw(gateway.url, get('/cut'), { until: /\r\n\r\n\{.*\}$/ });
  assert.deepEqual(statuses, [502]);
  assert.match(text, /DOWNSTREAM_SERVICE_ERROR/);
});

test('an answer that is whole stays so when its connection ends before the client has read it', async (t) => {
  const gateway = await startGateway(t);
  const late = await startRawService(t, (socket) => setTimeout(() => socket.write(whole), 500));
  // What waits for its turn is paused at 256 KB: here, behind the very last byte.
  const ending = await startRawService(t, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 263000\r\n\r\n${'x'.repeat(261_000)}`);
    setTimeout(() => socket.end('x'.repeat(2_000)), 100);
  });
  await registerRest(gateway, 'late', late.url, [{ match: { path: '/late' } }]);
  await registerRest(gateway, 'ending', ending.url, [{ match: { path: '/ending' } }]);
  const { statuses } = await sendRaw(gateway.url, get('/late') + get('/ending') + get('/late'), {
    silenceMs: 2_000,
  });
  assert.deepEqual(statuses, [200, 200, 200]);
});
