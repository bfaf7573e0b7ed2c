import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { sendRaw, startRawService } from '../support/raw-http.ts';
import { registerRest, until } from '../support/registration.ts';

// RFC 9112, faults of services that stand beside those of test/http/answer-framing.test.ts: in heads, in chunks, in what
// has no body, and on connections that nobody asked anything.

const ok = 'HTTP/1.1 200 OK\r\n';
const two = 'Content-Length: 2\r\n\r\nok';
const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`;
const plain = `${ok}Content-Length: 5\r\n\r\nplain`;

/** Answers a path that begins with /x by the bytes, anything else plainly. */
async function start(t: TestContext, bytes: string, end = false) {
  const gateway = await startGateway(t);
  const service = await startRawService(t, (socket, text) => {
    const isOdd = / \/x\S* HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n$/.test(text);
    socket.write(isOdd ? Buffer.from(bytes, 'latin1') : plain);
    if (isOdd && end) socket.end();
  });
  await registerRest(gateway, 'odd', service.url, [{ match: { path: '/*' } }], { retry: { attempts: 0 } });
  const ask = (path: string, method = 'GET', fields = '') =>
    sendRaw(gateway.url, `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${fields}\r\n`, {
      silenceMs: 2_000,
    });
  return { gateway, service, ask };
}

const refusedHeads: Record<string, string> = {
  'a control character in a field': `${ok}A: b\x01c\r\n${two}`,
  'DEL in a field': `${ok}A: b\x7fc\r\n${two}`,
  'a control character in a name': `${ok}A\x01: b\r\n${two}`,
  'a name outside ASCII': `${ok}A\xe9: b\r\n${two}`,
  'a space in a name': `${ok}A b: c\r\n${two}`,
  'a field without name': `${ok}: b\r\n${two}`,
  'a first field that is folded': `${ok} A: b\r\n${two}`,
  'a bare LF at the end of the head': `${ok}Content-Length: 2\r\n\nok`,
  'a CR before CRLF': `${ok}A: b\r\r\n${two}`,
  'a Content-Length with a sign': `${ok}Content-Length: +2\r\n\r\nok`,
  'an empty Content-Length': `${ok}Content-Length: \r\n\r\nok`,
  'a hexadecimal Content-Length': `${ok}Content-Length: 0x2\r\n\r\nok`,
  'a Content-Length in two words': `${ok}Content-Length: 2 2\r\n\r\nok`,
  'a Content-Length beyond all numbers': `${ok}Content-Length: 99999999999999999999\r\n\r\nok`,
  'two different Content-Lengths': `${ok}Content-Length: 4\r\n${two}`,
  'an empty Transfer-Encoding': `${ok}Transfer-Encoding: \r\n\r\nok`,
  'Transfer-Encoding with a vertical tab': `${ok}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n`,
  'identity, then chunked': `${ok}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding in HTTP/1.0': 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'HTTP/2.0': `HTTP/2.0 200 OK\r\n${two}`,
  'HTTP/0.9': 'ok',
  'a status of two digits': `HTTP/1.1 20 OK\r\n${two}`,
  'no status': `HTTP/1.1 OK\r\n${two}`,
  'a head that is too large': `${ok}A: ${'b'.repeat(500_000)}\r\n${two}`,
  'more fields than make sense': `${ok}${'A: b\r\n'.repeat(100_000)}${two}`,
  'an interim head that is too large': `HTTP/1.1 103 Early Hints\r\nA: ${'b'.repeat(500_000)}\r\n\r\n${plain}`,
};

for (const [name, bytes] of Object.entries(refusedHeads)) {
  test(`an answer with ${name} is a 502`, async (t) => {
    const { ask } = await start(t, bytes, name === 'HTTP/0.9');
    const { statuses, text } = await ask('/x');
    assert.equal(statuses.at(-1), 502, text.slice(0, 300));
    assert.match(text, /proxy-status: selvage; error=/i);
    assert.match((await ask('/y')).text, /\r\n\r\nplain$/);
  });
}

const brokenBodies: Record<string, string> = {
  'a chunk size that is no number': `${chunked}2\r\nok\r\nxyz\r\n`,
  'a negative chunk size': `${chunked}2\r\nok\r\n-1\r\n\r\n0\r\n\r\n`,
  'a chunk size beyond 64 bits': `${chunked}2\r\nok\r\n10000000000000001\r\n0\r\n\r\n`,
  'a chunk size with 0x': `${chunked}2\r\nok\r\n0x1\r\nx\r\n0\r\n\r\n`,
  'a chunk size that ends in LF': `${chunked}2\r\nok\r\n1\nx\r\n0\r\n\r\n`,
  'a space after a chunk size': `${chunked}2\r\nok\r\n1 \r\nx\r\n0\r\n\r\n`,
  'chunk data that is longer': `${chunked}2\r\noktoo much\r\n0\r\n\r\n`,
  'chunk data that ends in LF': `${chunked}2\r\nok\n0\r\n\r\n`,
  'a last chunk that ends in LF': `${chunked}2\r\nok\r\n0\n\n`,
  'a chunk extension that ends in LF': `${chunked}2\r\nok\r\n1;a\nx\r\n0\r\n\r\n`,
  'a folded trailer': `${chunked}2\r\nok\r\n0\r\nA: b\r\n c\r\n\r\n`,
  'a Content-Length as a trailer': `${chunked}2\r\nok\r\n0\r\nContent-Length: 2\r\n\r\n`,
  'a trailer that is too large': `${chunked}2\r\nok\r\n0\r\nA: ${'b'.repeat(500_000)}\r\n\r\n`,
};

for (const [name, bytes] of Object.entries(brokenBodies)) {
  test(`an answer with ${name} is broken off, and never looks whole`, async (t) => {
    const { ask } = await start(t, bytes);
    const { text, closed } = await ask('/x');
    assert.ok(closed);
    assert.doesNotMatch(text, /^HTTP\/1\.1 200[\s\S]*\r\n0\r\n/, text.slice(0, 300));
    assert.match((await ask('/y')).text, /\r\n\r\nplain$/);
  });
}

test('a body that is shorter than its length, or has no last chunk, never looks whole', async (t) => {
  for (const bytes of [`${ok}Content-Length: 20\r\n\r\nok`, `${chunked}2\r\nok\r\n`, `${chunked}5\r\nok`]) {
    const { ask } = await start(t, bytes, true);
    const { text, closed } = await ask('/x');
    assert.ok(closed);
    assert.doesNotMatch(text, /content-length: 2\r\n|\r\n0\r\n/i);
  }
});

test('an answer that ends with its connection is whole, and so is one of HTTP/1.0', async (t) => {
  for (const bytes of [
    `${ok}A: b\r\n\r\nok`,
    'HTTP/1.0 200 OK\r\n\r\nok',
    `HTTP/1.0 200 OK\r\n${two}`,
    `HTTP/1.1 200\r\n${two}`,
  ]) {
    const { ask } = await start(t, bytes, true);
    assert.match((await ask('/x')).text, /^HTTP\/1\.1 200 [\s\S]*ok(?:\r\n0\r\n\r\n)?$/, bytes);
  }
});

test("the body of an answer to HEAD, of 204 and of 304 goes nowhere and is nobody else's answer", async (t) => {
  const evil = `${ok}Content-Length: 4\r\n\r\nEVIL`;
  const bodiless = {
    HEAD: `${ok}Content-Length: ${evil.length}\r\n\r\n${evil}`,
    'HEAD in chunks': `${chunked}4\r\nEVIL\r\n0\r\n\r\n`,
    204: `HTTP/1.1 204 No Content\r\n\r\n${evil}`,
    304: `HTTP/1.1 304 Not Modified\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`,
  };
  for (const [name, bytes] of Object.entries(bodiless)) {
    const { ask } = await start(t, bytes);
    assert.doesNotMatch((await ask('/x', name.split(' ')[0] === 'HEAD' ? 'HEAD' : 'GET')).text, /EVIL/, name);
    for (let i = 0; i < 3; i++) assert.match((await ask('/y')).text, /\r\n\r\nplain$/, name);
  }
});

test('what a service says on a connection that waits for nothing is no answer to who comes next', async (t) => {
  const { ask, service } = await start(t, '');
  assert.match((await ask('/y')).text, /plain$/);
  for (const socket of service.sockets) socket.write(`${ok}Content-Length: 4\r\n\r\nEVIL`);
  await until(() => service.sockets.size === 0, 'the connection is dropped');
  assert.match((await ask('/y')).text, /plain$/);
});

test('a head of HTTP/1.0 may come in pieces, and one of another version is found out in pieces, too', async (t) => {
  const heads = {
    200: ['HTTP', '/1.', '0 200 OK\r\nA: b\r', '\n\r', '\nok'],
    502: ['HT', 'TP/2', '.0 200 OK\r\n\r\nok'],
  };
  for (const [status, pieces] of Object.entries(heads)) {
    const gateway = await startGateway(t);
    const service = await startRawService(t, async (socket) => {
      socket.setNoDelay(true);
      for (const piece of pieces) {
        socket.write(piece);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      socket.end();
    });
    await registerRest(gateway, 'odd', service.url, [{ match: { path: '/*' } }], { retry: { attempts: 0 } });
    const { statuses } = await sendRaw(gateway.url, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', {
      silenceMs: 2_000,
    });
    assert.deepEqual(statuses, [Number(status)]);
  }
});
