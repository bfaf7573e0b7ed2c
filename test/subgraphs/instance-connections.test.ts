import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ExchangeRequest } from '../../subgraphs/exchange.ts';
import { InstanceConnections } from '../../subgraphs/instance-connections.ts';
import { startRawService } from '../support/raw-http.ts';
import { get, type HeardAnswer, NotingHandler } from './exchange-fixture.ts';

const plain = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const pieces = ['a', 'b'];

/** A request whose body is on its way, or there. */
function post(streams: boolean): ExchangeRequest {
  async function* body() {
    for (const piece of pieces) yield Buffer.from(piece);
  }
  return get('/', { method: 'POST', body: streams ? (body() as never) : pieces.join('') });
}

async function stage(t: TestContext, answer = plain) {
  const service = await startRawService(t, (socket, text) => {
    if (answer !== '' && /ab$|0\r\n\r\n$/.test(text)) socket.write(answer);
  });
  const connections = new InstanceConnections({
    url: service.url,
    connections: 2,
    maxAgeMs: undefined,
    lookup: undefined,
    http2: false,
    tls: null,
  });
  t.after(() => connections.destroy());
  const send = (streams: boolean): Promise<HeardAnswer> => {
    const handler = new NotingHandler();
    connections.dispatch(post(streams), handler);
    return handler.over;
  };
  return { service, connections, send };
}

test('bodies that are there and bodies on their way are told the same of their answers', async (t) => {
  const { service, send } = await stage(t);
  const [whole, streamed] = [await send(false), await send(true)];
  assert.deepEqual(whole, streamed);
  assert.deepEqual([whole.status, whole.body, whole.rawHeaders], [200, 'ok', ['Content-Length', '2']]);
  const [ours = '', theirs = ''] = service.received;
  assert.match(ours, /content-length: 2\r\n\r\nab$/);
  assert.match(theirs, /transfer-encoding: chunked\r\n/);
});

test('what is malformed fails both', async (t) => {
  for (const answer of ['HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n', 'HTTP/1.1 200 OK\nA: b\n\n']) {
    const { send } = await stage(t, answer);
    for (const streams of [false, true]) assert.ok((await send(streams)).error, answer);
  }
});

test('once closed, connections of neither kind take anything, also those that were never made', async (t) => {
  for (const before of [[], [false], [false, true]]) {
    const { connections, send } = await stage(t);
    for (const streams of before) await send(streams);
    await connections.close();
    for (const streams of [false, true]) {
      assert.match((await send(streams)).error?.code ?? '', /^UND_ERR_(CLOSED|DESTROYED)$/);
    }
  }
});

test('destroying cuts what both kinds have under way', async (t) => {
  const { connections, send, service } = await stage(t, '');
  const under = [send(false), send(true)];
  while (service.received.filter((text) => /ab$|0\r\n\r\n$/.test(text)).length < 2) await new Promise(setImmediate);
  await connections.destroy();
  for (const answer of under) assert.equal((await answer).error?.code, 'UND_ERR_DESTROYED');
  for (const streams of [false, true]) assert.equal((await send(streams)).error?.code, 'UND_ERR_DESTROYED');
});
