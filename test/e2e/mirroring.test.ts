import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

type Gateway = Awaited<ReturnType<typeof startGateway>>;

async function register(gateway: Gateway, urls: { orders: string; shadow: string }, mirror: object, agrees = true) {
  await gateway.admin('PUT', '/services/shadow', {
    routes: [{ match: { path: '/shadow' } }],
    instances: [{ url: urls.shadow }],
    trafficFrom: agrees ? ['orders'] : [],
  });
  const { status } = await gateway.admin('PUT', '/services/orders', {
    routes: [{ match: { path: '/orders/*' }, mirror: { service: 'shadow', ...mirror } }],
    instances: [{ url: urls.orders }],
  });
  assert.equal(status, 201);
}

const reportOf = async (gateway: Gateway) => (await gateway.admin('GET', '/mirrors/orders')).body.mirrors[0];

async function startBody(t: TestContext, body: (text: string) => unknown, seen: { mirrored: unknown; text: string }[]) {
  return startServer(t, async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    seen.push({ mirrored: request.headers['x-mirrored'], text });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(body(text)));
  });
}

test('copies go to the mirror with body and mark, and differences are told without values', async (t) => {
  const gateway = await startGateway(t);
  const [own, copied]: { mirrored: unknown; text: string }[][] = [[], []];
  const orders = await startBody(t, () => ({ id: 1, total: 5, at: 'now', who: 'secret-a' }), own ?? []);
  const shadow = await startBody(t, () => ({ id: 1, total: 6, at: 'later', who: 'secret-b' }), copied ?? []);
  await register(gateway, { orders: orders.url, shadow: shadow.url }, { compare: true, ignore: ['/at'] });
  const headers = { 'x-mirrored': 'forged' };
  const answer = await fetch(`${gateway.url}/orders/1`, { method: 'POST', body: 'hello', headers });
  assert.equal(((await answer.json()) as { total: number }).total, 5);
  await until(async () => (await reportOf(gateway)).counts.different === 1, 'answers are compared');
  assert.deepEqual(own, [{ mirrored: undefined, text: 'hello' }]);
  assert.deepEqual(copied, [{ mirrored: '1', text: 'hello' }]);
  const report = await reportOf(gateway);
  assert.deepEqual(
    report.last[0].differences.map(({ at }: { at: string }) => at),
    ['/total', '/who'],
  );
  assert.doesNotMatch(JSON.stringify(report), /secret/);
  assert.equal((await gateway.admin('GET', '/mirrors/nobody')).status, 404);
});

test('a mirror that hangs, is gone, or never agreed costs the client nothing', async (t) => {
  const gateway = await startGateway(t);
  const orders = await startServer(t, (_, response) => response.end('fine'));
  let asked = 0;
  const hanging = await startServer(t, () => {
    asked++;
  });
  await register(gateway, { orders: orders.url, shadow: hanging.url }, { concurrency: 2 });
  for (let i = 0; i < 6; i++) assert.equal(await (await fetch(`${gateway.url}/orders/1`)).text(), 'fine');
  await until(async () => asked === 2, 'the mirror is asked');
  assert.equal((await reportOf(gateway)).counts.busy, 4);

  const silent = await startGateway(t);
  await register(silent, { orders: orders.url, shadow: hanging.url }, {}, false);
  assert.equal(await (await fetch(`${silent.url}/orders/1`)).text(), 'fine');
  assert.deepEqual((await silent.admin('GET', '/mirrors')).body.mirrors, []);
});

test('what is larger than agreed passes to its service, and is not copied', async (t) => {
  const gateway = await startGateway(t);
  const orders = await startServer(t, async (request, response) => {
    let size = 0;
    for await (const chunk of request) size += chunk.length;
    response.end(String(size));
  });
  let asked = 0;
  const shadow = await startServer(t, (_, response) => {
    asked++;
    response.end();
  });
  await register(gateway, { orders: orders.url, shadow: shadow.url }, { maxBodySize: '1kb' });
  const body = 'x'.repeat(100_000);
  assert.equal(await (await fetch(`${gateway.url}/orders/1`, { method: 'POST', body })).text(), '100000');
  const stream = new Blob([body]).stream();
  const chunked = { method: 'POST', body: stream, duplex: 'half' } as RequestInit;
  assert.equal(await (await fetch(`${gateway.url}/orders/1`, chunked)).text(), '100000');
  assert.equal((await reportOf(gateway)).counts['too-large'], 2);
  assert.equal(asked, 0);
});
