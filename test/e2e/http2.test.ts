import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { createAuthority, certificatesSkipReason as skip } from '../support/certificates.ts';
import { startGateway } from '../support/gateway.ts';
import { askHttp2, connectHttp2, readAnswer } from '../support/http2.ts';
import { makeFolder, startGatewayProcess } from '../support/process.ts';
import { until } from '../support/registration.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

async function setUp(t: TestContext) {
  const seen: { method: string | undefined; url: string | undefined; raw: string[]; body: string }[] = [];
  let aborted = 0;
  const rest = await startServer(t, async (incoming, response) => {
    if (incoming.url === '/hang') {
      response.once('close', () => aborted++);
      return;
    }
    if (incoming.url === '/cut') {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
      return;
    }
    if (incoming.url === '/cut-chunks') {
      response.write('half', () => setTimeout(() => response.destroy(), 20));
      return;
    }
    let body = '';
    try {
      for await (const chunk of incoming) body += chunk;
    } catch {
      return;
    }
    seen.push({ method: incoming.method, url: incoming.url, raw: incoming.rawHeaders, body });
    response.writeHead(incoming.url === '/none' ? 204 : 200, [
      ...['set-cookie', 'a=1', 'set-cookie', 'b=2', 'connection', 'keep-alive', 'keep-alive', 'timeout=5'],
      ...['x-bytes', 'caf\u00e9', 'etag', '"1"', 'etag', '"2"'],
    ]);
    response.end(incoming.url === '/none' ? undefined : body || 'plain');
  });
  const graph = await startSubgraph(t, 'type Query { a: String }', { Query: { a: () => 'a' } });
  const services: GatewayConfig['services'] = {
    graph: { graphql: {}, instances: [{ url: graph.url }] },
    rest: { instances: [{ url: rest.url }], routes: [{ match: { path: '/*' }, maxBodySize: '100kb' }] },
  };
  return { services, seen, rest, aborted: () => aborted };
}

const clear: GatewayConfig = { listen: { http2: { clear: true } } };

test('both doors answer over HTTP/2 by prior knowledge, on the port of HTTP/1.1', async (t) => {
  const { services, seen } = await setUp(t);
  const gateway = await startGateway(t, { ...clear, services });
  const session = await connectHttp2(t, gateway.url);
  const authority = new URL(gateway.url).host;

  const got = await askHttp2(session, '/a?b=c', { cookie: ['a=1', 'b=2'], 'x-own': 'x' });
  assert.equal(got.status, 200);
  assert.equal(got.text, 'plain');
  assert.deepEqual(got.headers['set-cookie'], ['a=1', 'b=2']);
  assert.equal(got.headers['x-bytes'], 'caf\u00e9');
  for (const name of ['connection', 'keep-alive', 'transfer-encoding']) assert.equal(got.headers[name], undefined);
  const raw = seen[0]?.raw ?? [];
  const fieldOf = (name: string) => raw[raw.findIndex((one) => one.toLowerCase() === name) + 1];
  assert.equal(fieldOf('cookie'), 'a=1; b=2', 'one field towards HTTP/1.1');
  assert.equal(fieldOf('x-forwarded-host'), authority);
  assert.ok(!raw.some((name) => name.startsWith(':')));
  assert.ok(!raw.some((name) => /^transfer-encoding$/i.test(name)), 'there was no body');

  assert.equal(
    (await askHttp2(session, '/echo', { ':method': 'POST' }, 'of unknown length')).text,
    'of unknown length',
  );
  const sized = { ':method': 'PUT', 'content-length': 5 };
  assert.equal((await askHttp2(session, '/echo', sized, 'sized')).text, 'sized');
  assert.equal((await askHttp2(session, '/none')).status, 204);
  const head = await askHttp2(session, '/a', { ':method': 'HEAD' });
  assert.deepEqual([head.status, head.text], [200, '']);
  const asked = { ':method': 'POST', 'content-type': 'application/json' };
  const graphql = await askHttp2(session, '/graphql', asked, JSON.stringify({ query: '{ a }' }));
  assert.deepEqual(JSON.parse(graphql.text), { data: { a: 'a' } });
  assert.equal((await askHttp2(session, '/health/ready')).status, 200);

  const all = Array.from({ length: 60 }, (_, i) => askHttp2(session, '/echo', { ':method': 'POST' }, `body ${i}`));
  for (const [i, { text }] of (await Promise.all(all)).entries()) assert.equal(text, `body ${i}`);
  assert.equal((await (await fetch(`${gateway.url}/a`)).text()).length, 5, 'HTTP/1.1 on the same port');
});

test('HTTP/1.1 is told from HTTP/2 however the first bytes come', async (t) => {
  const { services, seen } = await setUp(t);
  const gateway = await startGateway(t, { ...clear, services, limits: { headersTimeout: '300ms' } });
  const { port } = new URL(gateway.url);
  const talk = async (...pieces: string[]) => {
    const socket = connectPlain(Number(port), '127.0.0.1');
    socket.setNoDelay(true);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    const closed = once(socket, 'close');
    for (const piece of pieces) {
      socket.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await closed;
    return text;
  };
  const rest = ' /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody';
  assert.match(await talk(`POST${rest}`), /^HTTP\/1\.1 200 [\s\S]*body\r\n0\r\n\r\n$|body$/);
  assert.match(await talk('P', `OST${rest}`), /^HTTP\/1\.1 200 /);
  assert.match(await talk('PR', `I${rest}`), /^HTTP\/1\.1 400 /, 'no preface, and no method');
  assert.equal(seen.length, 2);
  const silent = once(connectPlain(Number(port), '127.0.0.1'), 'close');
  await silent;
  assert.equal(await talk('PRI * HT'), '', 'cut off when the rest does not come');
});

test('without `http2.clear` the clear port speaks HTTP/1.1 alone', async (t) => {
  const { services } = await setUp(t);
  const gateway = await startGateway(t, { services });
  const socket = connectPlain(Number(new URL(gateway.url).port), '127.0.0.1');
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 400 /);
});

test('an answer that was cut is never whole for the client', async (t) => {
  const { services } = await setUp(t);
  const gateway = await startGateway(t, { ...clear, services });
  const session = await connectHttp2(t, gateway.url);
  await assert.rejects(askHttp2(session, '/cut'));
  await assert.rejects(askHttp2(session, '/cut-chunks'));
  assert.equal((await askHttp2(session, '/a')).status, 200, 'the connection goes on');
});

test('a client that resets a stream has left with that stream alone', async (t) => {
  const { services, aborted } = await setUp(t);
  const gateway = await startGateway(t, { ...clear, services });
  const session = await connectHttp2(t, gateway.url);
  const hanging = session.request({ ':path': '/hang' });
  const other = session.request({ ':path': '/hang' });
  hanging.on('error', () => {});
  other.on('error', () => {});
  const upload = session.request({ ':path': '/echo', ':method': 'POST' });
  upload.write('first, ');
  await new Promise((resolve) => setTimeout(resolve, 50));
  hanging.close(8);
  await until(() => aborted() === 1, 'the service hears of it');
  const answer = readAnswer(upload);
  upload.end('second');
  assert.equal((await answer).text, 'first, second');
  assert.equal(aborted(), 1);
  const left = () => gateway.lines.filter(({ msg, status }) => msg === 'request' && status === 499);
  await until(() => left().length === 1, 'the log says so');
});

test('a body beyond its limit gets its answer before it is read', async (t) => {
  const { services } = await setUp(t);
  const gateway = await startGateway(t, { ...clear, services });
  const session = await connectHttp2(t, gateway.url);
  const declared = session.request({ ':path': '/echo', ':method': 'POST', 'content-length': 1_000_000 });
  declared.on('error', () => {});
  assert.equal(((await once(declared, 'response'))[0] as { ':status': number })[':status'], 413);
  const unknown = session.request({ ':path': '/echo', ':method': 'POST' });
  unknown.on('error', () => {});
  unknown.write(Buffer.alloc(200_000));
  assert.equal(((await once(unknown, 'response'))[0] as { ':status': number })[':status'], 413);
  assert.equal((await askHttp2(session, '/a')).status, 200);
});

test('a request that names two hosts, or a user, is refused', async (t) => {
  const { services, seen } = await setUp(t);
  const gateway = await startGateway(t, { ...clear, services });
  const session = await connectHttp2(t, gateway.url);
  const named = { ':authority': 'a.example' };
  assert.equal((await askHttp2(session, '/a', { ...named, host: 'b.example' })).status, 400);
  await assert.rejects(askHttp2(session, '/a', { ':authority': 'me@a.example' }));
  assert.equal(seen.length, 0);
  assert.equal((await askHttp2(session, '/a', { ...named, host: 'A.example' })).status, 200);
  assert.equal((await askHttp2(session, '/a/../b')).status, 400);
  const tunnel = session.request({ ':method': 'CONNECT', ':authority': 'b.example:25' });
  assert.equal((await readAnswer(tunnel)).status, 405);
});

test('a draining gateway says GOAWAY, and answers what it has', async (t) => {
  const { rest } = await setUp(t);
  let answer = () => {};
  const slow = await startServer(t, (_incoming, response) => {
    answer = () => response.end('late');
  });
  assert.ok(rest.url);
  const gateway = await startGateway(t, {
    ...clear,
    services: { slow: { instances: [{ url: slow.url }], routes: [{ match: { path: '/slow' } }] } },
  });
  const idle = await connectHttp2(t, gateway.url);
  const busy = await connectHttp2(t, gateway.url);
  const pending = askHttp2(busy, '/slow');
  const before = answer;
  await until(() => answer !== before, 'the service has it');
  const told = Promise.all([once(idle, 'goaway'), once(busy, 'goaway')]);
  const stopped = gateway.gateway.stop();
  await told;
  answer();
  assert.equal((await pending).text, 'late');
  await stopped;
  const outcomes = gateway.lines.map(({ msg }) => msg);
  assert.ok(!outcomes.includes('requests were cut at the end of the grace period'));
});

test('over TLS clients choose HTTP/2 or HTTP/1.1, with workers too', { skip }, async (t) => {
  const { services } = await setUp(t);
  const authority = await createAuthority(t);
  const made = await authority.issue('gateway', { usage: 'serverAuth', san: 'DNS:gateway.example' });
  const tls = { certificate: made.certificateFile, key: made.keyFile };
  const folder = await makeFolder(t);
  const gateway = await startGatewayProcess(t, folder, { services, workers: 2, listen: { tls } });
  const trusting = { ca: authority.certificate, servername: 'gateway.example' };
  for (let i = 0; i < 4; i++) {
    const session = await connectHttp2(t, gateway.url, trusting);
    assert.equal(session.alpnProtocol, 'h2');
    assert.equal((await askHttp2(session, '/echo', { ':method': 'POST' }, 'body')).text, 'body');
  }
  const old = get(`${gateway.url}/a`, { ...trusting, agent: false });
  const [response] = await once(old, 'response');
  assert.equal(response.httpVersion, '1.1');
  response.resume();
});
