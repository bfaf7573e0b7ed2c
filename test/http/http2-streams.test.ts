import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { createAuthority, certificatesSkipReason as skip } from '../support/certificates.ts';
import { startGateway } from '../support/gateway.ts';
import { askHttp2, connectHttp2, readAnswer } from '../support/http2.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

async function setUp(t: TestContext, config: GatewayConfig = {}) {
  const via: string[] = [];
  const bodies: string[] = [];
  let aborted = 0;
  const rest = await startServer(t, async (incoming, response) => {
    via.push(incoming.headers.via ?? '');
    response.on('close', () => {
      if (!response.writableFinished) aborted++;
    });
    if (incoming.url === '/hang') return;
    if (incoming.url === '/cut') {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
      return;
    }
    if (incoming.url === '/large') {
      response.end(Buffer.alloc(4_000_000));
      return;
    }
    if (incoming.url === '/hints') {
      response.writeEarlyHints({ link: ['</a.css>; rel=preload', '</b.css>; rel=preload'] });
      response.writeHead(200, { trailer: 'x-sum' });
      response.write('body');
      response.addTrailers([
        ['x-sum', '1'],
        ['x-sum', '2'],
        ['vary', 'x'],
      ]);
      response.end();
      return;
    }
    try {
      let text = '';
      for await (const chunk of incoming) text += chunk;
      bodies.push(text);
      response.end(text || 'plain');
    } catch {}
  });
  const gateway = await startGateway(t, {
    listen: { http2: { clear: true } },
    ...config,
    services: { rest: { instances: [{ url: rest.url }], routes: [{ match: { path: '/*' } }] } },
  });
  return { gateway, via, bodies, aborted: () => aborted };
}

test('services hear in which version a request came', async (t) => {
  const { gateway, via } = await setUp(t);
  await askHttp2(await connectHttp2(t, gateway.url), '/a', { via: '1.0 fred' });
  await fetch(`${gateway.url}/a`);
  assert.deepEqual(via, ['1.0 fred, 2.0 selvage', '1.1 selvage']);
});

test('interim answers and trailers cross to HTTP/2', async (t) => {
  const { gateway } = await setUp(t);
  const session = await connectHttp2(t, gateway.url);
  const stream = session.request({ ':path': '/hints', te: 'trailers' });
  const early = once(stream, 'headers');
  const trailers = once(stream, 'trailers');
  const answer = await readAnswer(stream);
  assert.equal(answer.text, 'body');
  const [hints] = (await early) as [{ ':status': number; link: string }];
  assert.deepEqual([hints[':status'], hints.link], [103, '</a.css>; rel=preload, </b.css>; rel=preload']);
  assert.equal(((await trailers)[0] as { 'x-sum': string })['x-sum'], '1, 2');
});

test('100 is said when somebody reads, and another expectation is refused', async (t) => {
  const { gateway } = await setUp(t);
  const session = await connectHttp2(t, gateway.url);
  const stream = session.request({ ':path': '/a', ':method': 'POST', expect: '100-continue' });
  await once(stream, 'continue');
  const answer = readAnswer(stream);
  stream.end('body');
  assert.equal((await answer).text, 'body');
  assert.equal((await askHttp2(session, '/a', { expect: 'more' })).status, 417);
});

test('what is wrong with one stream dooms no other', async (t) => {
  const { gateway } = await setUp(t, { hosts: ['shop.example'], limits: { maxHeaderCount: 20 } });
  const session = await connectHttp2(t, gateway.url);
  const named = { ':authority': 'shop.example' };
  const many = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`x-${i}`, '1']));
  const statuses = await Promise.all([
    askHttp2(session, '/a', { ...named, host: 'b.example' }),
    askHttp2(session, '/a', { ...named, ...many }),
    askHttp2(session, '/a', { ':authority': 'other.example' }),
    askHttp2(session, '/a', { ...named, ':method': 'BREW' }),
    askHttp2(session, '/a', named),
    askHttp2(session, '/health/live', { ':authority': 'other.example' }),
  ]);
  assert.deepEqual(
    statuses.map(({ status }) => status),
    [400, 431, 421, 400, 200, 200],
  );
  assert.equal((await askHttp2(session, '/a', named)).status, 200);
});

test('a body that breaks off is never whole for the service', async (t) => {
  const { gateway, via, bodies, aborted } = await setUp(t);
  // Whatever the reset says: a client of Node would end the body first.
  for (const [index, code] of [0, 8].entries()) {
    const socket = connectPlain(Number(new URL(gateway.url).port), '127.0.0.1');
    socket.resume();
    const frame = (type: number, flags: number, stream: number, payload: Buffer) =>
      Buffer.concat([Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, stream]), payload]);
    // POST http /, authority a
    const fields = Buffer.from([0x83, 0x86, 0x84, 0x41, 1, 0x61]);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.concat([frame(4, 0, 0, Buffer.alloc(0)), frame(1, 4, 1, fields)]));
    socket.write(frame(0, 0, 1, Buffer.from('half')));
    await until(() => via.length === index + 1, 'the service has it');
    socket.write(frame(3, 0, 1, Buffer.from([0, 0, 0, code])));
    await until(() => aborted() === index + 1, 'the service hears of it');
    socket.destroy();
  }
  assert.deepEqual(bodies, []);
});

test('streams that nobody reads, or that bring no body, are given up, and others go on', async (t) => {
  const { gateway, aborted } = await setUp(t, { limits: { clientIdleTimeout: '300ms' } });
  const session = await connectHttp2(t, gateway.url);
  const waiting = askHttp2(session, '/hang');
  waiting.catch(() => {});
  const unread = session.request({ ':path': '/large' });
  unread.on('error', () => {});
  await once(unread, 'response');
  await until(() => aborted() === 1, 'nobody reads');
  const slow = session.request({ ':path': '/a', ':method': 'POST' });
  slow.write('x');
  const steady = session.request({ ':path': '/a', ':method': 'POST' });
  const answer = readAnswer(steady);
  const timer = setInterval(() => steady.write('y'.repeat(2_000)), 50);
  slow.on('error', () => {});
  const [head] = (await once(slow, 'response')) as [{ ':status': number }];
  assert.equal(head[':status'], 408);
  clearInterval(timer);
  steady.end();
  assert.equal((await answer).status, 200);
});

test('a client whose answers break off by the hundred at a service keeps its connection', async (t) => {
  const goingOn = { circuitBreaker: { minimumCalls: 1_000 }, outlierDetection: { enabled: false } };
  const { gateway, via } = await setUp(t, { policies: goingOn });
  const session = await connectHttp2(t, gateway.url);
  for (let i = 0; i < 6; i++) {
    const answers = await Promise.allSettled(Array.from({ length: 50 }, () => askHttp2(session, '/cut')));
    assert.ok(answers.every(({ status }) => status === 'rejected'));
  }
  assert.equal(via.length, 300);
  assert.equal((await askHttp2(session, '/a')).status, 200);
});

test('a client of HTTP/2 that ends its connection has left', async (t) => {
  const { gateway, via, aborted } = await setUp(t);
  const socket = connectPlain({ port: Number(new URL(gateway.url).port), host: '127.0.0.1', allowHalfOpen: true });
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  // GET http /hang, authority a
  const fields = Buffer.concat([
    Buffer.from([0x82, 0x86, 0x04, 5]),
    Buffer.from('/hang'),
    Buffer.from([0x41, 1, 0x61]),
  ]);
  const head = Buffer.from([0, 0, fields.length, 1, 5, 0, 0, 0, 1]);
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings, head, fields]));
  socket.resume();
  await until(() => via.length === 1, 'the service has it');
  socket.end();
  await until(() => aborted() === 1, 'the service hears of it');
  socket.destroy();
});

test('a connection takes so many requests, and says so', async (t) => {
  const { gateway } = await setUp(t, { limits: { maxRequestsPerConnection: 2 } });
  const session = await connectHttp2(t, gateway.url);
  const gone = once(session, 'goaway');
  assert.equal((await askHttp2(session, '/a')).status, 200);
  assert.equal((await askHttp2(session, '/a')).status, 200);
  await gone;
});

test('client certificates tell who asks over HTTP/2, and who reads nothing over TLS is cut off', {
  skip,
}, async (t) => {
  const authority = await createAuthority(t);
  const own = await authority.issue('gateway', { usage: 'serverAuth', san: 'DNS:gateway.example' });
  const client = await authority.issue('orders', { san: 'URI:spiffe://shop.example/ns/orders' });
  const rest = await startServer(t, (incoming, response) => {
    if (incoming.url === '/large') response.end(Buffer.alloc(16_000_000));
    else response.end(String(incoming.headers['x-user-id']));
  });
  const gateway = await startGateway(t, {
    listen: {
      tls: {
        certificate: own.certificateFile,
        key: own.keyFile,
        clientCa: authority.certificateFile,
        clientCertificates: 'request',
      },
    },
    limits: { clientIdleTimeout: '300ms' },
    authentication: { clientCertificates: [{ san: 'spiffe://shop.example/ns/*', scopes: ['read'] }] },
    services: {
      rest: {
        instances: [{ url: rest.url }],
        routes: [{ match: { path: '/a' }, authorize: { scopes: ['read'] } }, { match: { path: '/large' } }],
      },
    },
  });
  const trusting = { ca: authority.certificate, servername: 'gateway.example' };
  const stranger = await connectHttp2(t, gateway.url, trusting);
  assert.equal((await askHttp2(stranger, '/a', { ':authority': 'gateway.example' })).status, 401);
  const known = await connectHttp2(t, gateway.url, { ...trusting, cert: client.certificate, key: client.key });
  const answer = await askHttp2(known, '/a', { ':authority': 'gateway.example' });
  assert.equal(answer.status, 200);
  assert.match(answer.text, /orders/);

  const socket = connectTls({ ...trusting, port: Number(new URL(gateway.url).port), host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  socket.write('GET /large HTTP/1.1\r\nhost: gateway.example\r\n\r\n');
  await until(() => gateway.lines.some(({ path, status }) => path === '/large' && status === 499), 'it is cut off');
  socket.destroy();
  assert.equal((await askHttp2(known, '/a', { ':authority': 'gateway.example' })).status, 200);
});
