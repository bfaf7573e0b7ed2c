import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frameMessage } from '../../subgraphs/grpc-frames.ts';
import { until } from '../support/registration.ts';
import { ask, startShop } from './orders.ts';

type Shop = Awaited<ReturnType<typeof startShop>>;

/** Counted calls, as `route status form`. */
async function readCalls({ gateway }: Shop): Promise<Record<string, number>> {
  const { body } = await gateway.admin('GET', '/metrics');
  const samples = String(body).matchAll(/^selvage_grpc_calls_total\{service="(.*?)",route="(.*?)",(.*?)\} (\d+)$/gm);
  return Object.fromEntries(
    Array.from(samples, ([, service, route, rest, count]) => {
      const [, status, form] = /^status="(.*?)",form="(.*?)"$/.exec(rest ?? '') ?? [];
      return [[service, route, status, form].join(' ').trim(), Number(count)];
    }),
  );
}

/** Of the access lines, in the order of their ends. */
const statusesOf = ({ gateway }: Shop) => gateway.lines.filter(({ msg }) => msg === 'request').map(({ grpc }) => grpc);

const named = (text: string) => frameMessage(Buffer.concat([Buffer.from([0x0a, text.length]), Buffer.from(text)]));

test('calls of all forms are counted by status, whoever said it', async (t) => {
  const shop = await startShop(t, {
    behaviour: { Probe: () => {} },
    config: { policies: { deadline: '400ms' } },
    service: { routes: [{ match: { path: '/shop.v1.Orders/Remove' }, authorize: { scopes: ['none'] } }] },
  });
  const { client, gateway } = shop;
  await ask(client, 'Get', { orderId: '1' });
  await ask(client, 'Get', { orderId: 'fail-5' });
  await ask(client, 'Remove', { name: 'x' });
  await ask(client, 'Probe', { name: 'x' }, undefined, { deadline: Date.now() + 60_000 });
  const web = (path: string, body: Buffer) =>
    fetch(gateway.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/grpc-web' },
      body: new Uint8Array(body),
    }).then((response) => response.arrayBuffer());
  await web('/shop.v1.Orders/Get', named('fail-16'));
  await web('/none.Such/Get', named('x'));
  const rest = async (path: string) => (await fetch(gateway.url + path)).text();
  await rest('/v1/orders/7');
  await rest('/v1/orders/fail-99');
  await rest('/v1/orders/7?full=perhaps');
  await rest('/v1/watch?count=3&fail_after=1');
  await rest('/health');
  await until(() => statusesOf(shop).length === 11, 'all lines are there');
  assert.deepEqual(statusesOf(shop), [0, 5, 16, 4, 16, 12, 0, 99, 3, 15, undefined]);
  assert.deepEqual(await readCalls(shop), {
    'shop POST /shop.v1.Orders/* OK grpc': 1,
    'shop POST /shop.v1.Orders/* NOT_FOUND grpc': 1,
    'shop ANY /shop.v1.Orders/Remove UNAUTHENTICATED grpc': 1,
    'shop POST /shop.v1.Orders/* DEADLINE_EXCEEDED grpc': 1,
    'shop POST /shop.v1.Orders/* UNAUTHENTICATED grpc-web': 1,
    'UNIMPLEMENTED grpc-web': 1,
    'shop GET /v1/orders/:p2 OK transcoded': 1,
    'shop GET /v1/orders/:p2 UNKNOWN transcoded': 1,
    'shop GET /v1/orders/:p2 INVALID_ARGUMENT transcoded': 1,
    'shop GET /v1/watch DATA_LOSS transcoded': 1,
  });
});

test('a client that leaves has cancelled, and what stands in for a service that is down is no success', async (t) => {
  const shop = await startShop(t, { service: { fallback: { body: { orderId: 'none' } } } });
  const watch = shop.client['Watch']?.({ count: -1 });
  watch.on('error', () => {});
  await until(() => shop.seen.length === 1, 'the call arrives');
  watch.cancel();
  await until(() => statusesOf(shop).length === 1, 'a line');
  shop.server.forceShutdown();
  const answer = await fetch(`${shop.gateway.url}/v1/orders/7`);
  assert.deepEqual([answer.status, await answer.json()], [200, { orderId: 'none' }]);
  await until(() => statusesOf(shop).length === 2, 'another line');
  assert.deepEqual(statusesOf(shop), [1, 14]);
  assert.deepEqual(await readCalls(shop), {
    'shop POST /shop.v1.Orders/* CANCELLED grpc': 1,
    'shop GET /v1/orders/:p2 UNAVAILABLE transcoded': 1,
  });
});
