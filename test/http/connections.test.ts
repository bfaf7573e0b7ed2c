import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const host = 'Host: shop.example\r\n';
const plain = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

async function startPlain(t: Parameters<typeof startGateway>[0], config = {}, route = {}): Promise<TestGateway> {
  const gateway = await startGateway(t, config);
  const service = await startServer(t, (request, response) => {
    request.resume().on('end', () => response.end('ok'));
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/api/*' }, ...route }]);
  return gateway;
}

test('100 comes when the body is wanted, and not when the request is refused', async (t) => {
  const gateway = await startPlain(t, { limits: { maxBodySize: '1kb' } });
  const head = (path: string, length: number) =>
    `POST ${path} HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
  const accepted = await sendRaw(gateway.url, head('/api/x', 5), { until: '100 Continue\r\n\r\n' });
  assert.deepEqual(accepted.statuses, [100]);
  // Who has sent the body already needs no 100 (RFC 9110 section 10.1.1).
  assert.deepEqual((await sendRaw(gateway.url, `${head('/api/x', 5)}hello`, { until: /ok$/ })).statuses.at(-1), 200);
  const refused = async (bytes: string) => sendRaw(gateway.url, bytes, { silenceMs: 5_000 });
  const nowhere = await refused(head('/nowhere', 5));
  assert.deepEqual([nowhere.statuses, nowhere.closed], [[404], true]);
  assert.deepEqual((await refused(head('/api/x', 5_000))).statuses, [413]);
  const other = await refused(`POST /api/x HTTP/1.1\r\n${host}Expect: tea\r\nContent-Length: 5\r\n\r\n`);
  assert.deepEqual([other.statuses, other.closed], [[417], true]);
});

test('more header fields than limits.maxHeaderCount, or larger ones than limits.maxHeaderSize, are 431', async (t) => {
  const gateway = await startPlain(t, { limits: { maxHeaderCount: 20, maxHeaderSize: '4kb' } });
  const get = (fields: string) =>
    sendRaw(gateway.url, `GET /api/x HTTP/1.1\r\n${host}${fields}\r\n`, {
      silenceMs: 2_000,
      until: /\r\n\r\n(ok|\{.*\})$/,
    });
  assert.deepEqual((await get('a: b\r\n'.repeat(19))).statuses, [200]);
  assert.deepEqual((await get('a: b\r\n'.repeat(20))).statuses, [431]);
  assert.deepEqual((await get('a: b\r\n'.repeat(300))).statuses, [431]);
  assert.deepEqual((await get(`a: ${'b'.repeat(8_000)}\r\n`)).statuses, [431]);
});

test('a head that does not come in time is 408', async (t) => {
  const gateway = await startPlain(t, { limits: { headersTimeout: '200ms' } });
  const { statuses, closed } = await sendRaw(gateway.url, 'GET /api/x HTTP/1.1\r\nHost:', { silenceMs: 9_000 });
  assert.deepEqual([statuses, closed], [[408], true]);
});

test('a body that does not come, or only in crumbs, is 408, and the connection is closed', async (t) => {
  const gateway = await startPlain(t, { limits: { clientIdleTimeout: '300ms' } });
  const head = `POST /api/x HTTP/1.1\r\n${host}Content-Length: 500\r\n\r\n`;
  const still = await sendRaw(gateway.url, `${head}abc`, { silenceMs: 9_000 });
  assert.deepEqual([still.statuses, still.closed], [[408], true]);
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
  let text = '';
  socket.on('data', (piece) => {
    text += piece;
  });
  socket.on('error', () => {});
  socket.write(head);
  const crumbs = setInterval(() => socket.writable && socket.write('x'), 40);
  t.after(() => clearInterval(crumbs));
  await until(() => text.startsWith('HTTP/1.1 408'), 'a 408');
  const { body } = await gateway.admin('GET', '/metrics');
  assert.match(body, /selvage_slow_clients_total\{kind="body"\} 2/);
});

test('a client that reads nothing of a large answer is cut off; a slow service is not a slow client', async (t) => {
  const gateway = await startGateway(t, { limits: { clientIdleTimeout: '300ms' } });
  const service = await startServer(t, (request, response) => {
    if (request.url === '/api/slow') setTimeout(() => response.end('ok'), 1_000);
    else response.end(Buffer.alloc(50_000_000));
  });
  await registerRest(gateway, 'large', service.url, [{ match: { path: '/api/*' } }]);
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
  socket.on('error', () => {});
  socket.write(`GET /api/x HTTP/1.1\r\n${host}\r\n`);
  socket.pause();
  const slow = sendRaw(gateway.url, `GET /api/slow HTTP/1.1\r\n${host}\r\n`, { until: /ok$/ });
  await until(async () => /kind="reader"\} 1/.test((await gateway.admin('GET', '/metrics')).body), 'the cut');
  assert.deepEqual((await slow).statuses, [200]);
  socket.destroy();
});

test('connections end after limits.keepAliveTimeout without a request, or after so many requests', async (t) => {
  const gateway = await startPlain(t, { limits: { keepAliveTimeout: '100ms', maxRequestsPerConnection: 2 } });
  const get = `GET /api/x HTTP/1.1\r\n${host}\r\n`;
  assert.equal((await sendRaw(gateway.url, get, { silenceMs: 9_000 })).closed, true);
  const { text } = await sendRaw(gateway.url, get + get, { silenceMs: 9_000 });
  assert.match(text, /connection: close/i);
});

test('between requests a connection may rest for longer than a client may be idle in one', async (t) => {
  const gateway = await startPlain(t, { limits: { clientIdleTimeout: '100ms' } });
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  let answers = 0;
  socket.on('data', (piece) => {
    answers += piece.toString('latin1').split('HTTP/1.1 200').length - 1;
  });
  for (let asked = 1; asked <= 3; asked++) {
    socket.write(`GET /api/x HTTP/1.1\r\n${host}\r\n`);
    await until(() => answers === asked, `answer ${asked}`);
    await new Promise((resolve) => setTimeout(resolve, 350));
  }
  assert.equal(socket.destroyed, false);
});

test('an answer that comes before the end of an upload arrives, and the rest is not taken for a request', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket) =>
    socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno'),
  );
  await registerRest(gateway, 'early', service.url, [{ match: { path: '/api/*' } }]);
  const smuggled = `GET /api/smuggled HTTP/1.1\r\n${host}\r\n`;
  const bytes = [`POST /api/x HTTP/1.1\r\n${host}Content-Length: 9000000\r\n\r\n`, smuggled.repeat(20_000)];
  const { statuses, text, closed } = await sendRaw(gateway.url, bytes, { silenceMs: 9_000 });
  assert.deepEqual([statuses, closed], [[403], true]);
  assert.match(text, /\r\n\r\nno$/);
  assert.doesNotMatch(
    service.received.join('').replaceAll(/^POST[\s\S]*?\r\n\r\n[\s\S]*$/gm, ''),
    /GET \/api\/smuggled/,
  );
});

test('a client that ends its side with the request still gets its answer', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket) => setTimeout(() => socket.write(plain), 100));
  await registerRest(gateway, 'late', service.url, [{ match: { path: '/api/*' } }]);
  const { statuses, closed } = await sendRaw(gateway.url, `GET /api/x HTTP/1.1\r\n${host}\r\n`, {
    end: true,
    silenceMs: 5_000,
  });
  assert.deepEqual([statuses.at(-1), closed], [200, true]);
  assert.ok(statuses.slice(0, -1).every((status) => status === 100));
});

test('hosts that are not listed get 421, but for health; names below a wildcard are listed', async (t) => {
  const gateway = await startPlain(t, { hosts: ['shop.example', '*.shops.example'] });
  const ask = async (name: string, path = '/api/x') =>
    (await sendRaw(gateway.url, `GET ${path} HTTP/1.1\r\nHost: ${name}\r\n\r\n`, { until: /\r\n\r\n(ok|\{.*\})$/ }))
      .statuses[0];
  assert.deepEqual(
    await Promise.all(['shop.example', 'SHOP.example:80', 'a.b.shops.example'].map((name) => ask(name))),
    [200, 200, 200],
  );
  assert.deepEqual(
    await Promise.all(['shops.example', 'other.example', 'xshop.example'].map((name) => ask(name))),
    [421, 421, 421],
  );
  assert.equal(await ask('127.0.0.1', '/health/live'), 200);
});

test('the times of a request are told on request', async (t) => {
  const gateway = await startPlain(t);
  const get = (fields: string) => sendRaw(gateway.url, `GET /api/x HTTP/1.1\r\n${host}${fields}\r\n`, { until: /ok$/ });
  assert.match(
    (await get('x-server-timing: 1\r\n')).text,
    /server-timing: total;dur=[\d.]+, policies;dur=[\d.]+, service;dur=[\d.]+\r\n/i,
  );
  assert.doesNotMatch((await get('')).text, /server-timing/i);
});
