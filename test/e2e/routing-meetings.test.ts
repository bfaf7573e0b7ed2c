/** What a route does besides forwarding, where two such things meet at one route. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { registerRest, until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly variant: unknown;
  readonly mirrored: unknown;
  readonly body: string;
}

/** Answers with JSON, or with a status; keeps what it was asked. */
async function startWitness(t: TestContext, answer: (seen: Seen) => unknown) {
  const seen: Seen[] = [];
  const server = await startServer(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { method = '', url = '', headers } = request;
    const asked = { method, url, variant: headers['x-route-variant'], mirrored: headers['x-mirrored'], body };
    seen.push(asked);
    const given = answer(asked);
    if (typeof given === 'number') response.statusCode = given;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(given));
  });
  return { url: server.url, seen };
}

const post = (url: string, body: unknown) =>
  fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });

const reportOf = async (gateway: TestGateway) => (await gateway.admin('GET', '/mirrors/orders')).body.mirrors[0];

test('mirror and transform: the copy is of the request as the service gets it, and answers are compared as the client would', async (t) => {
  const gateway = await startGateway(t);
  const orders = await startWitness(t, () => ({ id: 1, secret: 'a' }));
  const shadow = await startWitness(t, () => ({ id: 1, secret: 'b' }));
  await registerRest(gateway, 'shadow', shadow.url, [{ match: { path: '/s' } }], { trafficFrom: ['orders'] });
  const transform = {
    request: { rename: { name: 'title' }, query: { rename: { q: 'search' } } },
    response: { drop: ['secret'] },
  };
  const route = { match: { path: '/orders/*' }, rewrite: '/v2/*', mirror: { service: 'shadow', compare: true } };
  await registerRest(gateway, 'orders', orders.url, [{ ...route, transform }]);
  const answer = await post(`${gateway.url}/orders/7?q=1`, { name: 'x' });
  assert.deepEqual(await answer.json(), { id: 1 });
  await until(async () => (await reportOf(gateway)).counts.equal === 1, 'answers are equal without what is dropped');
  const asked = { method: 'POST', url: '/v2/7?search=1', variant: undefined, body: '{"title":"x"}' };
  assert.deepEqual(orders.seen, [{ ...asked, mirrored: undefined }]);
  assert.deepEqual(shadow.seen, [{ ...asked, mirrored: '1' }]);
  // What is wrong with a request is told to its client, and copied to nobody.
  assert.equal((await post(`${gateway.url}/orders/7`, undefined)).status, 200);
  const broken = { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } };
  assert.equal((await fetch(`${gateway.url}/orders/7`, broken)).status, 400);
  await until(() => shadow.seen.length === orders.seen.length, 'each has a copy');
  assert.equal(orders.seen.length, 2);
});

test('mirror and transform: a copy whose answer cannot be changed has failed, and its client sees nothing of it', async (t) => {
  const gateway = await startGateway(t);
  const orders = await startWitness(t, () => ({ id: 1 }));
  const shadow = await startServer(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('no JSON');
  });
  await registerRest(gateway, 'shadow', shadow.url, [{ match: { path: '/s' } }], { trafficFrom: ['orders'] });
  const mirror = { service: 'shadow', compare: true };
  const transform = { response: { pick: ['id'] } };
  await registerRest(gateway, 'orders', orders.url, [{ match: { path: '/*' }, mirror, transform }]);
  assert.deepEqual(await (await fetch(`${gateway.url}/1`)).json(), { id: 1 });
  await until(async () => {
    const { counts } = await reportOf(gateway);
    return counts.failed === 1;
  }, 'the copy came to its end');
});

test('split and validate: what is not valid reaches no variant, what is reaches the one that was wished', async (t) => {
  const gateway = await startGateway(t);
  const orders = await startWitness(t, () => ({}));
  const next = await startWitness(t, () => ({}));
  await registerRest(gateway, 'next', next.url, [{ match: { path: '/next' } }], { trafficFrom: ['orders'] });
  const split = {
    variants: [
      { name: 'stable', weight: 1 },
      { name: 'canary', weight: 0, service: 'next' },
    ],
    chooseBy: 'x-canary',
  };
  const validate = { body: { type: 'object', required: ['id'] } };
  await registerRest(gateway, 'orders', orders.url, [{ match: { path: '/orders' }, split, validate }]);
  const send = async (wish: string, body: string) => {
    const headers = { 'content-type': 'application/json', 'x-canary': wish, 'x-route-variant': 'forged' };
    return (await fetch(`${gateway.url}/orders`, { method: 'POST', body, headers })).status;
  };
  for (const wish of ['always', 'never']) assert.equal(await send(wish, '{}'), 422);
  assert.equal(orders.seen.length + next.seen.length, 0);
  assert.equal(await send('never', '{"id":1}'), 200);
  assert.equal(await send('always', '{"id":2}'), 200);
  assert.deepEqual(
    orders.seen.map(({ variant, body }) => [variant, body]),
    [['stable', '{"id":1}']],
  );
  assert.deepEqual(
    next.seen.map(({ variant, body }) => [variant, body]),
    [['canary', '{"id":2}']],
  );
});

test('retire and split: who is moved goes to the replacement alone, who is not is split, and after the end nobody is', async (t) => {
  const gateway = await startGateway(t);
  const old = await startWitness(t, () => 'old');
  const canary = await startWitness(t, () => 'canary');
  const next = await startWitness(t, () => 'next');
  await registerRest(gateway, 'canary', canary.url, [{ match: { path: '/c' } }], { trafficFrom: ['shop'] });
  await registerRest(gateway, 'next', next.url, [{ match: { path: '/n' } }], { fallbackFor: ['shop'] });
  const split = {
    variants: [
      { name: 'canary', weight: 1, service: 'canary' },
      { name: 'own', weight: 0 },
    ],
  };
  const ask = async (retire: object) => {
    await registerRest(gateway, 'shop', old.url, [{ match: { path: '/v1/:id' }, split, retire }]);
    return fetch(`${gateway.url}/v1/7`);
  };
  const replacement = { service: 'next', rewrite: '/v2/:id' };
  const deprecated = '2024-01-01';
  assert.equal(await (await ask({ deprecated, replacement: { ...replacement, share: '0%' } })).json(), 'canary');
  assert.equal(canary.seen[0]?.variant, 'canary');
  const moved = await ask({ deprecated, replacement: { ...replacement, share: '100%' } });
  assert.equal(await moved.json(), 'next');
  assert.equal(moved.headers.get('deprecation'), '@1704067200');
  assert.deepEqual([next.seen[0]?.url, next.seen[0]?.variant], ['/v2/7', undefined]);
  assert.equal((await ask({ deprecated, gone: '2024-06-01', sunset: '2024-06-01', replacement })).status, 410);
  assert.deepEqual([old.seen.length, canary.seen.length, next.seen.length], [0, 1, 1]);
});

test('fallback and mirror: the copy is of the request, made once, and nothing that stands in is compared with it', async (t) => {
  const gateway = await startGateway(t);
  const orders = await startWitness(t, ({ url }) => (url === '/down' ? 503 : { from: 'orders' }));
  const archive = await startWitness(t, () => ({ from: 'archive' }));
  const shadow = await startWitness(t, () => ({ from: 'shadow' }));
  await registerRest(gateway, 'archive', archive.url, [{ match: { path: '/a' } }], { fallbackFor: ['orders'] });
  await registerRest(gateway, 'shadow', shadow.url, [{ match: { path: '/s' } }], { trafficFrom: ['orders'] });
  const register = (fallback: object, url = orders.url) =>
    registerRest(
      gateway,
      'orders',
      url,
      [{ match: { path: '/*' }, fallback, mirror: { service: 'shadow', compare: true } }],
      { retry: { attempts: 0 } },
    );
  const gone = 'http://127.0.0.1:9';
  await register({ service: 'archive' }, gone);
  assert.deepEqual(await (await fetch(`${gateway.url}/down`)).json(), { from: 'archive' });
  await until(async () => (await reportOf(gateway)).counts['not-compared'] === 1, 'the copy is sent');
  await register({ status: 200, body: { from: 'value' } }, gone);
  assert.deepEqual(await (await fetch(`${gateway.url}/down`)).json(), { from: 'value' });
  await until(async () => (await reportOf(gateway)).counts['not-compared'] === 2, 'another copy is sent');
  assert.deepEqual(
    shadow.seen.map(({ url, mirrored }) => [url, mirrored]),
    [
      ['/down', '1'],
      ['/down', '1'],
    ],
  );
  assert.deepEqual(
    archive.seen.map(({ url, mirrored }) => [url, mirrored]),
    [['/down', undefined]],
  );
  await register({ service: 'archive' });
  await fetch(`${gateway.url}/fine`);
  await until(async () => (await reportOf(gateway)).counts.different === 1, 'what the service itself says is compared');
});

test('fallback, mirror and split: only who was chosen is told the name of the variant', async (t) => {
  const gateway = await startGateway(t);
  const archive = await startWitness(t, () => ({}));
  const shadow = await startWitness(t, () => ({}));
  await registerRest(gateway, 'archive', archive.url, [{ match: { path: '/a' } }], { fallbackFor: ['orders'] });
  await registerRest(gateway, 'shadow', shadow.url, [{ match: { path: '/s' } }], { trafficFrom: ['orders'] });
  const split = {
    variants: [
      { name: 'stable', weight: 1 },
      { name: 'none', weight: 0 },
    ],
  };
  const more = { fallback: { service: 'archive' }, mirror: { service: 'shadow' }, split };
  await registerRest(gateway, 'orders', 'http://127.0.0.1:9', [{ match: { path: '/*' }, ...more }], {
    retry: { attempts: 0 },
  });
  assert.equal((await fetch(`${gateway.url}/x`)).status, 200);
  await until(() => shadow.seen.length === 1, 'the copy is sent');
  assert.deepEqual([archive.seen[0]?.variant, shadow.seen[0]?.variant], [undefined, undefined]);
});
