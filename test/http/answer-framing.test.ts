import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest } from '../support/registration.ts';

// RFC 9112, the other direction: an answer that two readers could understand differently is a 502, its connection is
// dropped, and nothing of it gets into the next answer.

const ok = 'HTTP/1.1 200 OK\r\n';
const two = 'Content-Length: 2\r\n\r\nok';
const chunks = '2\r\nok\r\n0\r\n\r\n';

const refused: Record<string, string> = {
  'Content-Length with Transfer-Encoding': `${ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
  'two Content-Lengths': `${ok}Content-Length: 2\r\n${two}`,
  'a list of Content-Lengths': `${ok}Content-Length: 2, 2\r\n\r\nok`,
  'a negative Content-Length': `${ok}Content-Length: -2\r\n\r\nok`,
  'Transfer-Encoding: identity': `${ok}Transfer-Encoding: identity\r\n\r\nok`,
  'Transfer-Encoding: gzip, chunked': `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n${chunks}`,
  'Transfer-Encoding: chunked, gzip': `${ok}Transfer-Encoding: chunked, gzip\r\n\r\n${chunks}`,
  'Transfer-Encoding: chunked, chunked': `${ok}Transfer-Encoding: chunked, chunked\r\n\r\n${chunks}`,
  'Transfer-Encoding twice': `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
  'Transfer-Encoding: xchunked': `${ok}Transfer-Encoding: xchunked\r\n\r\n${chunks}`,
  'bare LFs': 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok',
  'a bare CR in a field': `${ok}A: b\rSet-Cookie: x\r\n${two}`,
  'NUL in a field': `${ok}A: b\0c\r\n${two}`,
  'a folded field': `${ok}A: b\r\n c\r\n${two}`,
  'a space before the colon': `${ok}Content-Length : 2\r\n\r\nok`,
  'a field without colon': `${ok}Abc\r\n${two}`,
  'status 99': `HTTP/1.1 99 X\r\n${two}`,
  'status 600': `HTTP/1.1 600 X\r\n${two}`,
  'status 1000': `HTTP/1.1 1000 X\r\n${two}`,
  'an upgrade nobody asked for': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  'another protocol': 'SSH-2.0-OpenSSH\r\n',
};

/** Answers GET /x with the bytes, anything else plainly. */
async function startScripted(t: Parameters<typeof startRawService>[0], bytes: string) {
  return startRawService(t, (socket, text) => {
    const latest = text.slice(text.lastIndexOf('GET '));
    socket.write(latest.startsWith('GET /x') ? Buffer.from(bytes, 'latin1') : `${ok}content-length: 5\r\n\r\nplain`);
  });
}

const ask = (url: string, path: string, fields = '', version = '1.1') =>
  sendRaw(url, `GET ${path} HTTP/${version}\r\nHost: a\r\n${fields}\r\n`, { silenceMs: 300 });

for (const [name, bytes] of Object.entries(refused)) {
  test(`an answer with ${name} is a 502, and the next answer is not touched`, async (t) => {
    const gateway = await startGateway(t);
    const service = await startScripted(t, bytes);
    const once = { retry: { attempts: 0 } };
    await registerRest(gateway, 'odd', service.url, [{ match: { path: '/*' } }], once);
    const first = await sendRaw(gateway.url, 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n', { until: /\r\n\r\n\{.*\}$/ });
    assert.deepEqual(first.statuses, [502]);
    assert.match(first.text, /proxy-status: selvage; error=/i);
    const second = await sendRaw(gateway.url, 'GET /y HTTP/1.1\r\nHost: a\r\n\r\n', { until: 'plain' });
    assert.deepEqual(second.statuses, [200]);
    assert.ok(service.received.length > 1, 'the connection was given up');
  });
}

test('what follows an answer never becomes the next one', async (t) => {
  const gateway = await startGateway(t);
  const evil = `${ok}Content-Length: 4\r\n\r\nEVIL`;
  const heads = [ok + two + evil, `${ok}Transfer-Encoding: chunked\r\n\r\n${chunks}${evil}`];
  heads.push('HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nEVIL', 'HTTP/1.1 304 Not Modified\r\n\r\nEVIL');
  heads.push('HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n');
  for (const [index, bytes] of heads.entries()) {
    const service = await startScripted(t, bytes);
    await registerRest(gateway, `s${index}`, service.url, [{ match: { path: `/${index}/*` }, rewrite: '/*' }]);
    assert.doesNotMatch((await ask(gateway.url, `/${index}/x`)).text, /EVIL/, bytes);
    assert.match((await ask(gateway.url, `/${index}/y`)).text, /\r\n\r\nplain$/, bytes);
  }
});

test('HEAD, 204 and 304 have no body, and 204 no length, also when a service sends one', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket) => socket.write('HTTP/1.1 204 X\r\nContent-Length: 4\r\n\r\nEVIL'));
  await registerRest(gateway, 'odd', service.url, [{ match: { path: '/*' } }]);
  const { text } = await ask(gateway.url, '/x');
  assert.match(text, /^HTTP\/1\.1 204/);
  assert.doesNotMatch(text, /EVIL|content-length/i);
});

test('103 and 102 reach clients of HTTP/1.1, and nobody else; 100 reaches none', async (t) => {
  const gateway = await startGateway(t);
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-in\r\nX-In: 1\r\n\r\n';
  const service = await startScripted(
    t,
    `HTTP/1.1 100 Continue\r\n\r\n${hints}HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${ok}${two}`,
  );
  await registerRest(gateway, 'early', service.url, [{ match: { path: '/*' } }]);
  const { statuses, text } = await ask(gateway.url, '/x');
  assert.deepEqual(statuses, [103, 102, 200]);
  assert.match(text, /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\n\r\n/);
  assert.deepEqual((await ask(gateway.url, '/x', '', '1.0')).statuses, [200]);
});

test('an endless row of interim answers is given up', async (t) => {
  const gateway = await startGateway(t);
  const service = await startScripted(t, 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(500));
  await registerRest(gateway, 'early', service.url, [{ match: { path: '/*' } }], { retry: { attempts: 0 } });
  assert.equal((await ask(gateway.url, '/x')).statuses.at(-1), 502);
});

test('trailers reach clients that asked for them, without those that must not come late', async (t) => {
  const gateway = await startGateway(t);
  const body = '2\r\nok\r\n0\r\nX-Sum: 7\r\nSet-Cookie: late\r\n\r\n';
  const service = await startScripted(t, `${ok}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n${body}`);
  await registerRest(gateway, 'sum', service.url, [{ match: { path: '/*' } }]);
  const asked = await ask(gateway.url, '/x', 'TE: trailers\r\nConnection: te\r\n');
  assert.match(asked.text, /Trailer: X-Sum\r\n[\s\S]*2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n$/);
  const silent = await ask(gateway.url, '/x');
  assert.match(silent.text, /2\r\nok\r\n0\r\n\r\n$/);
  assert.doesNotMatch(silent.text, /X-Sum/);
});

test('an announcement of trailers that cannot follow is dropped', async (t) => {
  const gateway = await startGateway(t);
  const service = await startScripted(t, `${ok}Trailer: X-Sum\r\n${two}`);
  await registerRest(gateway, 'sum', service.url, [{ match: { path: '/*' } }]);
  for (const version of ['1.0', '1.1']) {
    const { statuses, text } = await ask(gateway.url, '/x', 'TE: trailers\r\n', version);
    assert.deepEqual(statuses, [200]);
    assert.doesNotMatch(text, /trailer/i);
  }
});

test('repeated fields stay apart and in order, in their spelling', async (t) => {
  const gateway = await startGateway(t);
  const fields =
    'Set-Cookie: a=1\r\nX-ODD-case: 1\r\nSet-Cookie: b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nX-odd-Case: 2\r\n';
  const service = await startScripted(t, ok + fields + two);
  await registerRest(gateway, 'many', service.url, [{ match: { path: '/*' } }]);
  const { text } = await ask(gateway.url, '/x', 'X-Many: 1\r\nx-many: 2\r\nX-Many: 3\r\n');
  assert.ok(text.includes(fields), text);
  assert.match(service.received.join(''), /X-Many: 1\r\nx-many: 2\r\nX-Many: 3\r\n/);
});
