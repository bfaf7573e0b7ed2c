import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type Dispatcher, Pool } from 'undici';
import type { WholeRequest } from '../../subgraphs/http1-exchange.ts';
import { startRawService } from '../support/raw-http.ts';
import { get, NotingHandler, openConnections, send } from './exchange-fixture.ts';

const plain = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** The bytes of a request by our connections, and by undici's. */
async function bytesOf(t: TestContext, request: WholeRequest): Promise<{ ours: string; theirs: string }> {
  const service = await startRawService(t, (socket, text) => {
    if (text.includes('\r\n\r\n')) setTimeout(() => socket.destroyed || socket.write(plain), 20);
  });
  const { connections } = openConnections(service.url);
  const pool = new Pool(service.url, { connections: 1, pipelining: 1, allowH2: false });
  t.after(() => Promise.all([connections.destroy(), pool.destroy()]));
  await send(connections, request);
  await pool
    .request({ ...request, method: request.method as Dispatcher.HttpMethod, headers: request.headers as string[] })
    .then(({ body }) => body.text());
  const [ours = '', theirs = ''] = service.received;
  return { ours, theirs };
}

const requests: Record<string, WholeRequest> = {
  'a GET': get('/a?b=%20c', { headers: ['Accept', '*/*', 'x-Odd', '', 'x-odd', ' \t2'] }),
  'a GET of another host': get('/', { headers: ['accept', '*/*', 'Host', 'shop.example:8080', 'cookie', 'a=b'] }),
  'a GET with a body': get('/', { body: 'search' }),
  'a HEAD': get('/', { method: 'HEAD' }),
  'a POST': get('/', { method: 'POST', headers: ['Content-Type', 'text/plain'], body: 'hello' }),
  'a POST with its length': get('/', { method: 'POST', headers: ['content-length', '5'], body: Buffer.from('hello') }),
  'a POST of UTF-8': get('/', { method: 'POST', body: 'größer 🙂' }),
  'a POST of bytes': get('/', { method: 'POST', body: Buffer.from([0, 255, 13, 10, 128]) }),
  'a POST of many bytes': get('/', { method: 'POST', body: Buffer.alloc(30_000, 'aé') }),
  'a POST of nothing': get('/', { method: 'POST' }),
  'a PUT of an empty string': get('/', { method: 'PUT', body: '' }),
  'a DELETE': get('/', { method: 'DELETE', headers: ['content-length', '0'] }),
  'a DELETE with a body': get('/', { method: 'DELETE', body: 'why' }),
  'a PROPFIND': get('/', { method: 'PROPFIND' }),
  'an OPTIONS': get('/', { method: 'OPTIONS' }),
  'what the caller says of the connection': get('/', { headers: ['Connection', 'close', 'a', 'b'] }),
  'bytes beyond ASCII': get('/\xe9', { headers: ['a', '\xe9\x80\xff'] }),
};

for (const [name, request] of Object.entries(requests)) {
  test(`${name} looks as undici writes it`, async (t) => {
    const { ours, theirs } = await bytesOf(t, request);
    assert.equal(ours, theirs);
    assert.ok(ours.length > 0);
  });
}

test('what cannot stand in a head is refused before anything is sent', async (t) => {
  const service = await startRawService(t, (socket) => socket.write(plain));
  const { connections, made } = openConnections(service.url);
  t.after(() => connections.destroy());
  const refused: [string, WholeRequest][] = [
    ...['\r', '\n', '\0', '\x7f', '\x1f', 'Ā', 'a\r\nB: c'].map((value): [string, WholeRequest] => [
      'UND_ERR_INVALID_ARG',
      get('/', { headers: ['a', value] }),
    ]),
    ...['', 'a b', 'a:', 'a\r\n', 'é', '(', 'transfer-encoding', 'Keep-Alive', 'upgrade'].map(
      (field): [string, WholeRequest] => ['UND_ERR_INVALID_ARG', get('/', { headers: [field, 'x'] })],
    ),
    ...['', 'a', 'http://a/', '*', '/ ', '/\r\n', '/\x7f', '/Ā'].map((path): [string, WholeRequest] => [
      'UND_ERR_INVALID_ARG',
      get(path),
    ]),
    ...['', 'GE T', 'GET\r\n', 'CONNECT', 'G(T'].map((method): [string, WholeRequest] => [
      'UND_ERR_INVALID_ARG',
      get('/', { method }),
    ]),
    ['UND_ERR_INVALID_ARG', get('/', { headers: ['a'] })],
    ['UND_ERR_INVALID_ARG', get('/', { headers: ['host', 'a', 'Host', 'b'] })],
    ['UND_ERR_INVALID_ARG', get('/', { headers: ['content-length', '1', 'Content-Length', '1'], body: 'a' })],
    ['UND_ERR_INVALID_ARG', get('/', { headers: ['content-length', '+1'], body: 'a' })],
    ['UND_ERR_NOT_SUPPORTED', get('/', { headers: ['Expect', '100-continue'] })],
    ['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', get('/', { method: 'POST', headers: ['content-length', '2'], body: 'a' })],
  ];
  for (const [code, request] of refused) {
    const handler = new NotingHandler();
    connections.dispatch(request, handler);
    const { error } = await handler.over;
    assert.equal(error?.code, code, JSON.stringify(request));
    assert.equal(handler.starts, 0);
  }
  assert.equal(made.length, 0);
});

test('a large body flows behind its head', async (t) => {
  const body = Buffer.alloc(3_000_000, '0123456789');
  let received = 0;
  const service = await startRawService(t, () => {});
  const { connections, made } = openConnections(service.url);
  t.after(() => connections.destroy());
  const handler = new NotingHandler();
  connections.dispatch(get('/', { method: 'POST', body }), handler);
  await handler.started;
  while (service.sockets.size === 0) await once(made[0] as NodeJS.EventEmitter, 'drain');
  const [socket] = service.sockets;
  while ((service.received[0] ?? '').length < body.length) await once(socket as NodeJS.EventEmitter, 'data');
  socket?.write(plain);
  assert.equal((await handler.over).status, 200);
  received = (service.received[0] ?? '').split('\r\n\r\n')[1]?.length ?? 0;
  assert.equal(received, body.length);
});
