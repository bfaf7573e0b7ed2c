/** Changed and validated messages where other features meet them. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';
import { openRefused, openSocket, socketRoute, startSocketService } from '../upgrades/fixture.ts';

test('interim answers pass a route that changes its answers, and trailers one that leaves this answer alone', async (t) => {
  const service = await startServer(t, (_, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    response.writeHead(200, { 'content-type': 'application/json', trailer: 'x-sum' });
    response.write('{"a":1}');
    response.addTrailers({ 'x-sum': '7' });
    response.end();
  });
  const gateway = await startGateway(t);
  const transform = (when: string) => ({ response: { when, wrap: 'data' } });
  await registerRest(gateway, 'shop', service.url, [
    { match: { path: '/changed' }, transform: transform('has(body.a)') },
    { match: { path: '/same' }, transform: transform('has(body.b)') },
  ]);
  const get = (path: string) =>
    new Promise<{ hints: unknown; text: string; trailers: object }>((resolve, reject) => {
      let hints: unknown;
      const asked = request(gateway.url + path, { agent: false, headers: { te: 'trailers' } }, async (answer) => {
        let text = '';
        for await (const chunk of answer) text += chunk;
        resolve({ hints, text, trailers: { ...answer.trailers } });
      });
      asked.on('information', ({ headers }) => {
        hints = headers['link'];
      });
      asked.on('error', reject);
      asked.end();
    });
  const link = '</style.css>; rel=preload; as=style';
  assert.deepEqual(await get('/changed'), { hints: link, text: '{"data":{"a":1}}', trailers: {} });
  assert.deepEqual(await get('/same'), { hints: link, text: '{"a":1}', trailers: { 'x-sum': '7' } });
});

test('a handshake is validated and its query changed like that of any request', async (t) => {
  const service = await startSocketService(t);
  const gateway = await startGateway(t);
  const more = {
    validate: { query: { required: ['room'] } },
    transform: { request: { query: { rename: { room: 'channel' } } } },
  };
  await registerRest(gateway, 'chat', service.url, [{ ...socketRoute, ...more }]);
  assert.equal((await openRefused(gateway, '/ws/room')).status, 422);
  await openSocket(t, gateway, '/ws/room?room=a');
  assert.equal(service.asked.at(-1)?.url, '/room?channel=a');
});

test('the bytes of a body that is held are metered once, as they came', async (t) => {
  const service = await startServer(t, (_, response) => response.end());
  const gateway = await startGateway(t, {
    policies: { rateLimit: [{ name: 'traffic', limit: '100kb', window: '1h', key: 'ip', count: 'bytes' }] },
  });
  await registerRest(gateway, 'shop', service.url, [
    { match: { path: '/shop' }, transform: { request: { drop: ['a'] } } },
    { match: { path: '/free' } },
  ]);
  const body = JSON.stringify({ a: 'x'.repeat(10_000) });
  await ask(`${gateway.url}/shop`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const { headers } = await ask(`${gateway.url}/free`);
  const left = Number(/r=(\d+)/.exec(String(headers['ratelimit']))?.[1]);
  assert.ok(left <= 102_400 - body.length && left > 102_400 - body.length - 2_000, String(left));
});
