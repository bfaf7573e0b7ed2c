import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:http2';
import { test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import { connectHttp2 } from '../support/http2.ts';
import { until } from '../support/registration.ts';
import { ask, startOrders, startShop } from './orders.ts';

test('a call passes with its metadata both ways, and its status comes in the trailers', async (t) => {
  const { client, seen } = await startShop(t);
  const metadata = new Metadata();
  metadata.set('x-mine', 'one');
  metadata.set('raw-bin', Buffer.from([0, 1, 255]));
  metadata.set('x-user-id', 'forged');
  const good = await ask(client, 'Get', { orderId: '7' }, metadata);
  assert.equal(good.error, null);
  assert.equal(good.message.orderId, '7');
  assert.deepEqual(good.head?.get('x-head'), ['yes']);
  const [call] = seen;
  assert.deepEqual(call?.metadata.get('x-mine'), ['one']);
  assert.deepEqual(call?.metadata.get('raw-bin'), [Buffer.from([0, 1, 255])]);
  assert.deepEqual(call?.metadata.get('x-user-id'), []);
  assert.match(String(call?.metadata.get('via')), /selvage/);
  const bad = await ask(client, 'Get', { orderId: 'fail-9' });
  assert.equal(bad.error?.code, status.FAILED_PRECONDITION);
  assert.equal(bad.error?.details, 'nö fail-9');
  assert.deepEqual(bad.error?.metadata.get('x-trailer'), ['yes']);
});

function watchAll(client: Awaited<ReturnType<typeof startShop>>['client'], count: number) {
  return client['Watch']?.({ count }) as AsyncIterable<{ text: string }>;
}

test('all four kinds of methods stream', async (t) => {
  const { client } = await startShop(t);
  const watched: string[] = [];
  for await (const note of watchAll(client, 500)) watched.push(note.text);
  assert.equal(watched.length, 500);
  assert.equal(watched.at(-1), 'note 500');

  const collected = await new Promise((resolve, reject) => {
    const call = client['Collect']?.((error: Error | null, answer: { text: string }) =>
      error === null ? resolve(answer.text) : reject(error),
    );
    for (const text of ['a', 'b', 'c']) call.write({ text });
    call.end();
  });
  assert.equal(collected, 'a+b+c');

  const chat = client['Chat']?.();
  // Each answer comes before the next question is asked: nothing waits for the end of the other direction.
  for (const text of ['one', 'two', 'three']) {
    chat.write({ text });
    const [answer] = await once(chat, 'data');
    assert.equal(answer.text, `re: ${text}`);
  }
  const ended = once(chat, 'status');
  chat.end();
  assert.equal((await ended)[0].code, status.OK);
});

test('a stream that fails in its middle ends with its status', async (t) => {
  const { client } = await startShop(t);
  const notes: string[] = [];
  const call = client['Watch']?.({ count: 5, failAfter: 2 });
  call.on('data', (note: { text: string }) => notes.push(note.text));
  const [error] = await once(call, 'error');
  assert.equal(error.code, status.DATA_LOSS);
  assert.deepEqual(notes, ['note 1', 'note 2']);
});

test('the deadline of the client passes on, shortened by that of the gateway', async (t) => {
  const { client, seen } = await startShop(t, { config: { policies: { deadline: '5s' } } });
  await ask(client, 'Get', { orderId: '1' }, new Metadata(), { deadline: Date.now() + 60_000 });
  await ask(client, 'Get', { orderId: '2' }, new Metadata(), { deadline: Date.now() + 3_000 });
  await ask(client, 'Get', { orderId: '3' });
  const left = seen.map(({ deadline }) => Number(deadline) - Date.now());
  assert.ok((left[0] ?? 0) <= 5_000, `${left}`);
  assert.ok((left[1] ?? 0) <= 3_000, `${left}`);
  assert.ok((left[2] ?? 0) <= 5_000, `${left}`);
});

test('a deadline that passes is DEADLINE_EXCEEDED, and the call is cancelled at the service', async (t) => {
  const { client, seen } = await startShop(t, {
    behaviour: { Cancel: () => {} },
    config: { policies: { deadline: '400ms' } },
  });
  const late = await ask(client, 'Cancel', { name: 'x' });
  assert.equal(late.error?.code, status.DEADLINE_EXCEEDED);
  const watch = client['Watch']?.({ count: -1 }, new Metadata(), { deadline: Date.now() + 300 });
  const [error] = await once(
    watch.on('data', () => {}),
    'error',
  );
  assert.equal(error.code, status.DEADLINE_EXCEEDED);
  await until(() => seen[0]?.cancelled === true, 'the service is told');
});

test('a deadline also passes while the client is silent in its request', async (t) => {
  const { gateway } = await startShop(t);
  const session = await connectHttp2(t, gateway.url);
  for (const method of ['Cancel', 'Collect']) {
    const stream = session.request({
      ':path': `/shop.v1.Orders/${method}`,
      ':method': 'POST',
      'content-type': 'application/grpc',
      'grpc-timeout': '300m',
      te: 'trailers',
    });
    const [headers] = await once(stream, 'response');
    assert.equal(headers['grpc-status'], String(status.DEADLINE_EXCEEDED), method);
  }
});

test('a client that leaves cancels the call at the service', async (t) => {
  const { client, seen } = await startShop(t);
  const watch = client['Watch']?.({ count: -1 });
  watch.on('error', () => {});
  await until(() => seen.length === 1, 'the call arrives');
  watch.cancel();
  await until(() => seen[0]?.cancelled === true, 'the service is told');
});

test('policies refuse with statuses of gRPC, in an answer that is its own end', async (t) => {
  const { gateway, client, server } = await startShop(t, {
    service: {
      routes: [
        { match: { path: '/shop.v1.Orders/Remove' }, authorize: { scopes: ['none'] } },
        {
          match: { path: '/shop.v1.Orders/Create' },
          rateLimit: [{ name: 'one', limit: 1, window: '1h', key: 'ip' }],
        },
      ],
    },
    grpc: { maxMessageSize: '1kb' },
  });
  assert.equal((await ask(client, 'Remove', { name: 'x' })).error?.code, status.UNAUTHENTICATED);
  assert.equal((await ask(client, 'Create', {})).error, null);
  assert.equal((await ask(client, 'Create', {})).error?.code, status.RESOURCE_EXHAUSTED);
  const large = await ask(client, 'Cancel', { name: 'x'.repeat(2_000) });
  assert.equal(large.error?.code, status.RESOURCE_EXHAUSTED);
  const session = await connectHttp2(t, gateway.url);
  const stream = session.request({
    ':path': '/shop.v1.Orders/Remove',
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const [headers, flags] = await once(stream, 'response');
  assert.equal(headers[':status'], 200);
  assert.equal(headers['grpc-status'], '16');
  assert.equal(headers['content-type'], 'application/grpc+proto');
  assert.equal(flags & constants.NGHTTP2_FLAG_END_STREAM, constants.NGHTTP2_FLAG_END_STREAM);
  server.forceShutdown();
  assert.equal((await ask(client, 'Get', { orderId: '1' })).error?.code, status.UNAVAILABLE);
});

test('calls of one connection go to instances one by one', async (t) => {
  const { client, gateway, url } = await startShop(t);
  const other = await startOrders(t);
  await gateway.admin('PUT', '/services/shop', {
    grpc: { services: ['shop.v1.Orders'] },
    loadBalancing: { algorithm: 'round-robin' },
    instances: [{ url }, { url: other.url }],
  });
  for (let i = 0; i < 10; i++) assert.equal((await ask(client, 'Get', { orderId: 'x' })).error, null);
  assert.equal(other.seen.length, 5);
});
