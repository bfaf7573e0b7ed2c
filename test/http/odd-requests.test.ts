import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest, until } from '../support/registration.ts';

// Rules of RFC 9110 and 9112 for requests that stand beside those of test/http/request-framing.test.ts.

const host = 'Host: shop.example\r\n';

async function start(t: TestContext) {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket, text) => {
    if (/\r\n\r\n$|\r\n\r\nabc$/.test(text)) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/*' } }]);
  return { gateway, service };
}

const refused: Record<string, string> = {
  'a control character in the method': `G\x01T / HTTP/1.1\r\n${host}\r\n`,
  'NUL in the request line': `GET /\0 HTTP/1.1\r\n${host}\r\n`,
  'a method of 10,000 characters': `${'A'.repeat(10_000)} / HTTP/1.1\r\n${host}\r\n`,
  'no method': ` / HTTP/1.1\r\n${host}\r\n`,
  'no target': `GET HTTP/1.1\r\n${host}\r\n`,
  'a target without a slash': `GET x HTTP/1.1\r\n${host}\r\n`,
  'another scheme': `GET ftp://shop.example/x HTTP/1.1\r\n${host}\r\n`,
  'an absolute form with another port': `GET http://shop.example:81/x HTTP/1.1\r\n${host}\r\n`,
  'an absolute form with a fragment': `GET http://shop.example/x#y HTTP/1.1\r\n${host}\r\n`,
  'a Host with a port that is none': 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n',
  'a Host with a space': 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
  'two equal Hosts': `GET / HTTP/1.1\r\n${host}${host}\r\n`,
  'two Authorizations': `GET / HTTP/1.1\r\n${host}Authorization: Basic YTpi\r\nAuthorization: Basic Yzpk\r\n\r\n`,
  'a Content-Length that is named by Connection, twice': `POST / HTTP/1.1\r\n${host}Connection: content-length\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab`,
  'a Transfer-Encoding with a tab before the colon': `POST / HTTP/1.1\r\n${host}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n`,
  'a Transfer-Encoding that is folded': `POST / HTTP/1.1\r\n${host}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
  'a Content-Length behind a Transfer-Encoding that Connection names': `POST / HTTP/1.1\r\n${host}Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
};

test('requests with faults in their first line, Host or credentials are 400, closed, and reach no service', async (t) => {
  const { gateway, service } = await start(t);
  for (const [name, bytes] of Object.entries(refused)) {
    const next = `GET /smuggled HTTP/1.1\r\n${host}\r\n`;
    const { statuses, closed } = await sendRaw(gateway.url, bytes + next, { silenceMs: 5_000 });
    assert.deepEqual([statuses, closed], [[400], true], name);
  }
  assert.deepEqual(service.received, []);
});

test('extensions of chunks, and trailers, have a size, too', async (t) => {
  const { gateway, service } = await start(t);
  const head = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`;
  const extended = await sendRaw(gateway.url, `${head}1;a=${'b'.repeat(40_000)}\r\nx\r\n0\r\n\r\n`, {
    silenceMs: 5_000,
  });
  assert.deepEqual([extended.statuses, extended.closed], [[413], true]);
  const trailed = await sendRaw(gateway.url, `${head}1\r\nx\r\n0\r\nA: ${'b'.repeat(400_000)}\r\n\r\n`, {
    silenceMs: 5_000,
  });
  assert.deepEqual([trailed.statuses, trailed.closed], [[431], true]);
  assert.ok(
    service.received.every((text) => !/\r\n0\r\n/.test(text)),
    'the service has no whole request',
  );
});

test('expectations: 100 in any case, and only for a body of HTTP/1.1; others are 417', async (t) => {
  const { gateway } = await start(t);
  const ask = async (line: string, fields: string, body = '') =>
    (await sendRaw(gateway.url, `${line}\r\n${host}${fields}\r\n${body}`, { silenceMs: 500 })).statuses;
  assert.deepEqual(await ask('POST / HTTP/1.1', 'Expect: 100-Continue\r\nContent-Length: 3\r\n'), [100]);
  assert.deepEqual((await ask('POST / HTTP/1.1', 'Expect: 100-continue\r\nContent-Length: 3\r\n', 'abc')).at(-1), 200);
  assert.deepEqual(await ask('GET / HTTP/1.1', 'Expect: 100-continue\r\n'), [200]);
  assert.deepEqual(await ask('POST / HTTP/1.0', 'Expect: 100-continue\r\nContent-Length: 3\r\n', 'abc'), [200]);
  assert.deepEqual(await ask('POST / HTTP/1.1', 'Expect: a-miracle\r\nContent-Length: 3\r\n', 'abc'), [417]);
});

test('HTTP/1.0: no chunks in the answer, no Host needed, and the connection ends', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket) =>
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'),
  );
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/*' } }]);
  const { text, closed } = await sendRaw(gateway.url, 'GET / HTTP/1.0\r\n\r\n', { silenceMs: 3_000 });
  assert.ok(closed);
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok$/);
  assert.doesNotMatch(text, /transfer-encoding/i);
});

test('a client that ends its side in the middle of a request gets no answer to half of it', async (t) => {
  const { gateway, service } = await start(t);
  for (const bytes of [`POST / HTTP/1.1\r\n${host}Content-Length: 9\r\n\r\nabc`, `GET / HTTP/1.1\r\n${host}X: `]) {
    const { statuses, closed } = await sendRaw(gateway.url, bytes, { end: true, silenceMs: 3_000 });
    assert.ok(closed);
    assert.ok(!statuses.includes(200), `${statuses}`);
  }
  await until(() => service.sockets.size === 0, 'nothing is held at the service');
});

test('pipelined requests with bodies are told apart by their framing alone', async (t) => {
  const gateway = await startGateway(t);
  const seen: string[] = [];
  const service = await startRawService(t, (socket, text) => {
    const last = text.slice(text.lastIndexOf('POST /'));
    if (!/\r\n\r\nGET \/a$|0\r\n\r\n$/.test(last)) return;
    seen.push(last.split(' ')[1] ?? '');
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/*' } }]);
  const lengthy = `POST /1 HTTP/1.1\r\n${host}Content-Length: 6\r\n\r\nGET /a`;
  const chunky = `POST /2 HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n6\r\nGET /b\r\n0\r\n\r\n`;
  const { statuses } = await sendRaw(gateway.url, lengthy + chunky + lengthy, { silenceMs: 1_000 });
  assert.deepEqual(statuses, [200, 200, 200]);
  assert.deepEqual(seen, ['/1', '/2', '/1']);
});

test('bytes above ASCII in values arrive as they came', async (t) => {
  const { gateway, service } = await start(t);
  await sendRaw(gateway.url, `GET / HTTP/1.1\r\n${host}X: caf\xe9\tb\r\nY:\r\n\r\n`, { until: /ok$/ });
  assert.match(service.received.join(''), /\r\nX: caf\xe9\tb\r\nY: \r\n/);
});
