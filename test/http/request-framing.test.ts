import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest } from '../support/registration.ts';

// RFC 9112: what two readers could understand differently is refused with 400, its connection closed, and no service
// sees anything of it, nor of what follows on that connection.

const host = 'Host: shop.example\r\n';
const get = (line: string, fields = ''): string => `${line}\r\n${host}${fields}\r\n`;
const post = (fields: string, body: string): string => `POST /api/x HTTP/1.1\r\n${host}${fields}\r\n${body}`;
const chunked = (body: string): string => post('Transfer-Encoding: chunked\r\n', body);
const next = get('GET /api/smuggled HTTP/1.1');

const refusedHeads: Record<string, string> = {
  'Content-Length with Transfer-Encoding': post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'Transfer-Encoding with Content-Length': post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n'),
  'two equal Content-Lengths': post('Content-Length: 1\r\nContent-Length: 1\r\n', 'x'),
  'two different Content-Lengths': post('Content-Length: 1\r\nContent-Length: 2\r\n', 'xy'),
  'a list of Content-Lengths': post('Content-Length: 1, 1\r\n', 'x'),
  'a Content-Length with a sign': post('Content-Length: +1\r\n', 'x'),
  'a negative Content-Length': post('Content-Length: -1\r\n', 'x'),
  'an empty Content-Length': post('Content-Length: \r\n', 'x'),
  'a hexadecimal Content-Length': post('Content-Length: 0x1\r\n', 'x'),
  'a Content-Length beyond all numbers': post('Content-Length: 99999999999999999999\r\n', 'x'),
  'a Content-Length in two words': post('Content-Length: 1 1\r\n', 'x'),
  'a bare LF after the request line': `GET /api/x HTTP/1.1\n${host}\r\n`,
  'a bare LF after a field': 'GET /api/x HTTP/1.1\r\nHost: a\n\r\n',
  'a bare LF at the end of the head': 'GET /api/x HTTP/1.1\r\nHost: a\r\n\n',
  'a bare CR after the request line': 'GET /api/x HTTP/1.1\rHost: a\r\n\r\n',
  'a bare CR in a field': get('GET /api/x HTTP/1.1', 'X: a\rb\r\n'),
  'a CR before CRLF': get('GET /api/x HTTP/1.1', 'X: a\r\r\n'),
  'a folded field': get('GET /api/x HTTP/1.1', 'X: a\r\n b\r\n'),
  'a first field that is folded': 'GET /api/x HTTP/1.1\r\n Host: a\r\n\r\n',
  'a space before the colon': get('GET /api/x HTTP/1.1', 'X : a\r\n'),
  'a field without colon': get('GET /api/x HTTP/1.1', 'Xyz\r\n'),
  'a field without name': get('GET /api/x HTTP/1.1', ': x\r\n'),
  'NUL in a field': get('GET /api/x HTTP/1.1', 'X: a\0b\r\n'),
  'a control character in a field': get('GET /api/x HTTP/1.1', 'X: a\x01b\r\n'),
  'DEL in a field': get('GET /api/x HTTP/1.1', 'X: a\x7fb\r\n'),
  'a control character in a name': get('GET /api/x HTTP/1.1', 'X\x01: a\r\n'),
  'a name outside ASCII': get('GET /api/x HTTP/1.1', 'X\xe9: a\r\n'),
  'a name with a delimiter': get('GET /api/x HTTP/1.1', 'X(y: a\r\n'),
  'Transfer-Encoding: identity': post('Transfer-Encoding: identity\r\n', ''),
  'Transfer-Encoding: gzip': post('Transfer-Encoding: gzip\r\n', ''),
  'Transfer-Encoding: gzip, chunked': post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
  'Transfer-Encoding: chunked, gzip': post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n'),
  'Transfer-Encoding: chunked, chunked': post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'),
  'Transfer-Encoding twice': post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'identity, then chunked': post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'Transfer-Encoding: xchunked': post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'),
  'Transfer-Encoding in quotes': post('Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n'),
  'Transfer-Encoding with a parameter': post('Transfer-Encoding: chunked;a=b\r\n', '0\r\n\r\n'),
  'Transfer-Encoding with an empty item': post('Transfer-Encoding: ,chunked\r\n', '0\r\n\r\n'),
  'Transfer-Encoding with a vertical tab': post('Transfer-Encoding:\x0bchunked\r\n', '0\r\n\r\n'),
  'an empty Transfer-Encoding': post('Transfer-Encoding: \r\n', ''),
  'Transfer-Encoding in HTTP/1.0': `POST /api/x HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'HTTP/0.9': 'GET /api/x\r\n\r\n',
  'HTTP/0.9 that says so': get('GET /api/x HTTP/0.9'),
  'HTTP/1.2': get('GET /api/x HTTP/1.2'),
  'HTTP/2.0': get('GET /api/x HTTP/2.0'),
  'HTTP/1.10': get('GET /api/x HTTP/1.10'),
  'http in lower case': get('GET /api/x http/1.1'),
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'a space in the target': get('GET /api/x y HTTP/1.1'),
  'tabs in the request line': `GET\t/api/x\tHTTP/1.1\r\n${host}\r\n`,
  'a space at the end of the request line': get('GET /api/x HTTP/1.1 '),
  'a space before the method': get(' GET /api/x HTTP/1.1'),
  'a method in lower case': get('get /api/x HTTP/1.1'),
  'an unknown method': get('FOO /api/x HTTP/1.1'),
  'a method of RTSP': get('DESCRIBE /api/x RTSP/1.0'),
  'the authority form': get('GET shop.example:80 HTTP/1.1'),
  'an asterisk with GET': get('GET * HTTP/1.1'),
  'a fragment': get('GET /api/x#y HTTP/1.1'),
  'a fragment behind a query': get('GET /api/x?y#z HTTP/1.1'),
  'a target outside ASCII': get('GET /api/\xe9 HTTP/1.1'),
  'a query outside ASCII': get('GET /api/x?\xe9 HTTP/1.1'),
  'a control character in the target': get('GET /api/\x01 HTTP/1.1'),
  'an absolute form of another host': get('GET http://other.example/api/x HTTP/1.1'),
  'an absolute form with user information': get('GET http://shop.example@other.example/api/x HTTP/1.1'),
  'an absolute form without host': get('GET http:///api/x HTTP/1.1'),
  'no Host': 'GET /api/x HTTP/1.1\r\n\r\n',
  'two Hosts': get('GET /api/x HTTP/1.1', 'Host: other.example\r\n'),
  'an empty Host': 'GET /api/x HTTP/1.1\r\nHost: \r\n\r\n',
  'a list of Hosts': 'GET /api/x HTTP/1.1\r\nHost: a, b\r\n\r\n',
  'a Host with a path': 'GET /api/x HTTP/1.1\r\nHost: a/b\r\n\r\n',
  'a Host with user information': 'GET /api/x HTTP/1.1\r\nHost: u@a\r\n\r\n',
};

const refusedBodies: Record<string, string> = {
  'a chunk extension that ends in LF': '1;a\nx\r\n0\r\n\r\n',
  'a chunk extension with a bare CR': '1;a\rb\r\nx\r\n0\r\n\r\n',
  'a chunk extension with LF in quotes': '1;a="\n"\r\nx\r\n0\r\n\r\n',
  'a space after a chunk size': '1 \r\nx\r\n0\r\n\r\n',
  'a space before a chunk size': ' 1\r\nx\r\n0\r\n\r\n',
  'a space before a chunk extension': '1 ;a\r\nx\r\n0\r\n\r\n',
  'a chunk size with 0x': '0x1\r\nx\r\n0\r\n\r\n',
  'a negative chunk size': '-1\r\nx\r\n0\r\n\r\n',
  'a chunk size beyond 64 bits': '10000000000000001\r\nx\r\n0\r\n\r\n',
  'a chunk size that ends in LF': '1\nx\r\n0\r\n\r\n',
  'chunk data that ends in LF': '1\r\nx\n0\r\n\r\n',
  'chunk data without an end': '1\r\nx0\r\n\r\n',
  'chunk data that is longer': '1\r\nxyz\r\n0\r\n\r\n',
  'no chunk size': '\r\n0\r\n\r\n',
  'a last chunk that ends in LF': '0\r\n\n',
  'Content-Length as a trailer': '0\r\nContent-Length: 5\r\n\r\n',
  'Transfer-Encoding as a trailer': '0\r\nTransfer-Encoding: chunked\r\n\r\n',
  'a folded trailer': '0\r\nX: y\r\n z\r\n\r\n',
};

test('an ambiguous head is refused with 400 and its connection closed; no service sees it, nor what follows', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/api/*' } }]);
  await Promise.all(
    Object.entries(refusedHeads).map(async ([name, bytes]) => {
      const answer = await sendRaw(gateway.url, bytes + next, { silenceMs: 5_000 });
      assert.deepEqual([answer.statuses, answer.closed], [[400], true], name);
    }),
  );
  assert.deepEqual(service.received, []);
});

test('a malformed body is refused with 400 and its connection closed; no service takes it for a whole one', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket, text) => {
    if (text.endsWith('0\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/api/*' } }]);
  await Promise.all(
    Object.entries(refusedBodies).map(async ([name, body]) => {
      const answer = await sendRaw(gateway.url, chunked(body) + next, { silenceMs: 5_000 });
      assert.deepEqual([answer.statuses, answer.closed], [[400], true], name);
    }),
  );
  for (const text of service.received) {
    assert.ok(!text.includes('smuggled'));
    assert.ok(!text.endsWith('0\r\n\r\n'), text);
  }
});

test('what is only unusual passes, and arrives in plain form', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket, text) => {
    if (/^GET|0\r\n\r\n$|\r\n\r\nx$/.test(text))
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/api/*' } }]);
  const accepted: Record<string, string> = {
    'empty lines before the request': `\r\n\r\n${get('GET /api/x HTTP/1.1')}`,
    'bare CRs and LFs before the request': `\n\r\r\n\n${get('GET /api/x HTTP/1.1')}`,
    'several spaces in the request line': get('GET   /api/x  HTTP/1.1'),
    'the absolute form': get('GET http://shop.example/api/x HTTP/1.1'),
    'the absolute form with the standard port': get('GET HTTP://SHOP.example:80/api/x HTTP/1.1'),
    'leading zeros': post('Content-Length: 0001\r\n', 'x'),
    'CHUNKED in capitals': post('Transfer-Encoding: CHUNKED\r\n', '1\r\nx\r\n0\r\n\r\n'),
    'a chunk extension': chunked('1;a="b"\r\nx\r\n0\r\n\r\n'),
    trailers: chunked('1\r\nx\r\n0\r\nX-Sum: y\r\n\r\n'),
  };
  for (const [name, bytes] of Object.entries(accepted)) {
    assert.deepEqual((await sendRaw(gateway.url, bytes, { until: /ok$/ })).statuses, [200], name);
  }
  for (const text of service.received) {
    assert.match(text, /^(GET|POST) \/api\/x HTTP\/1\.1\r\n/);
    assert.doesNotMatch(text, /;a=|X-Sum|0001/);
  }
});

test('garbage behind a whole request does not become its answer', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket) => {
    setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'), 50);
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/api/*' } }]);
  const answer = await sendRaw(gateway.url, `${get('GET /api/x HTTP/1.1')}\x01garbage\r\n\r\n`, { silenceMs: 5_000 });
  assert.deepEqual([answer.statuses, answer.closed], [[200, 400], true]);
  const closing = get('GET /api/x HTTP/1.1', 'Connection: close\r\n');
  assert.deepEqual((await sendRaw(gateway.url, closing + next, { silenceMs: 5_000 })).statuses, [200]);
});

test('pipelined requests are answered in their order', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket, text) => {
    const path = /GET (\S+)[\s\S]*$/.exec(text.slice(text.lastIndexOf('GET ')))?.[1] ?? '';
    const write = () => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`);
    setTimeout(write, path.endsWith('1') ? 80 : 0);
  });
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/api/*' } }]);
  const three = [1, 2, 3].map((n) => get(`GET /api/${n} HTTP/1.1`)).join('');
  const { text } = await sendRaw(gateway.url, three, { until: '/api/3' });
  assert.deepEqual(
    [...text.matchAll(/\r\n\r\n(\/api\/\d)/g)].map((match) => match[1]),
    ['/api/1', '/api/2', '/api/3'],
  );
});

test('CONNECT and TRACE are refused; OPTIONS * and the last hop of OPTIONS are answered here', async (t) => {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket) => socket.write('HTTP/1.1 204 No Content\r\n\r\n'));
  await registerRest(gateway, 'echo', service.url, [{ match: { path: '/api/*' } }]);
  const ask = (bytes: string) => sendRaw(gateway.url, bytes, { until: /\r\n\r\n/ });
  assert.deepEqual((await ask(get('CONNECT shop.example:80 HTTP/1.1'))).statuses, [405]);
  assert.deepEqual((await ask(get('TRACE /api/x HTTP/1.1'))).statuses, [405]);
  assert.match((await ask(get('OPTIONS * HTTP/1.1'))).text, /^HTTP\/1\.1 200 [\s\S]*allow: GET, HEAD/i);
  assert.match(
    (await ask(get('OPTIONS /api/x HTTP/1.1', 'Max-Forwards: 0\r\n'))).text,
    /^HTTP\/1\.1 200 [\s\S]*allow: /i,
  );
  assert.deepEqual(service.received, []);
  await ask(get('OPTIONS /api/x HTTP/1.1', 'Max-Forwards: 7\r\n'));
  assert.match(service.received.join(''), /Max-Forwards: 6\r\n/);
});
