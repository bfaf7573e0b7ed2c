import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { startJson } from './fixture.ts';

type Parts = NonNullable<GatewayConfig['aggregate']>[string]['parts'];

async function startHome(t: TestContext, parts: Parts, more: object = {}) {
  const users = await startJson(t, ({ url, headers }, response) => {
    if (url === '/users/404') return void response.writeHead(404).end('{"why":"gone"}');
    response.setHeader('cache-control', 'max-age=100');
    return { id: url?.split('/').pop(), orderId: 'o/1', agent: headers['x-tenant'] ?? null };
  });
  const orders = await startJson(t, ({ url }, response) => {
    if (url?.includes('slow')) return undefined;
    if (url?.includes('broken')) return void response.destroy();
    if (url?.includes('text')) return void response.end('no json');
    if (url?.includes('large')) return 'x'.repeat(5_000);
    if (url?.includes('sick')) return void response.writeHead(500).end('{}');
    response.setHeader('cache-control', 'max-age=30');
    response.setHeader('vary', 'accept-language');
    return { data: { items: [{ url }] } };
  });
  const gateway = await startGateway(t, {
    aggregate: { '/overview/:id': { parts, ...more } },
    services: {
      users: { instances: [{ url: users.url }], routes: [{ match: { path: '/users/*' } }] },
      orders: { instances: [{ url: orders.url }], retry: { attempts: 1 }, routes: [{ match: { path: '/orders/*' } }] },
    },
  });
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(gateway.url + path, { headers });
    const text = await answer.text();
    // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
    return { status: answer.status, headers: answer.headers, body: (text === '' ? null : JSON.parse(text)) as any };
  };
  return { ...gateway, users, orders, get };
}

const user = { service: 'users', path: '/users/:id' };

describe('an aggregate', () => {
  it('merges several GETs, as fresh as the least of them', async (t) => {
    const { get } = await startHome(t, {
      user,
      orders: { service: 'orders', path: '/orders?user=:id&q={query.q}', pick: '/data/items' },
    });
    const { status, body, headers } = await get('/overview/a%20b?q=x%26y', {
      'x-tenant': 'acme',
      'if-none-match': '"z"',
    });
    assert.equal(status, 200);
    assert.deepEqual(body, {
      user: { id: 'a%20b', orderId: 'o/1', agent: 'acme' },
      orders: [{ url: '/orders?user=a%20b&q=x%26y' }],
    });
    assert.equal(headers.get('cache-control'), 'public, max-age=30');
    assert.equal(headers.get('vary'), 'accept-language');
    const again = await get('/overview/a%20b?q=x%26y', {
      'x-tenant': 'acme',
      'if-none-match': headers.get('etag') ?? '',
    });
    assert.equal(again.status, 304);
    assert.equal(
      (await get('/overview/1', { authorization: 'Basic x' })).headers.get('cache-control'),
      'private, max-age=30',
    );
  });

  it('asks for a part after those that it depends on', async (t) => {
    const { get } = await startHome(t, {
      order: { service: 'orders', path: '/orders/{user.orderId}' },
      user,
    });
    assert.deepEqual((await get('/overview/1')).body.order, { data: { items: [{ url: '/orders/o%2F1' }] } });
  });

  it('goes out without what is optional, and says so', async (t) => {
    const optional = (path: string) => ({ service: 'orders', path, optional: true, maxSize: '1kb' });
    const { get } = await startHome(t, {
      user,
      slow: { ...optional('/orders/slow'), timeout: '150ms' },
      broken: optional('/orders/broken'),
      text: optional('/orders/text'),
      large: optional('/orders/large'),
      sick: optional('/orders/sick'),
      unpicked: { ...optional('/orders/1'), pick: '/none' },
      kept: { service: 'orders', path: '/orders/broken', fallback: [] },
      unknown: { service: 'nobody', path: '/', optional: true },
      below: optional('/orders/{slow.id}'),
    });
    const { status, body, headers } = await get('/overview/1');
    assert.equal(status, 200);
    assert.deepEqual([body.user.id, body.slow, body.kept], ['1', null, []]);
    assert.deepEqual(
      body._errors.map(({ part, code, status: said }: Record<string, unknown>) => [part, code, said ?? 0]),
      [
        ['slow', 'GATEWAY_TIMEOUT', 0],
        ['broken', 'DOWNSTREAM_SERVICE_ERROR', 0],
        ['text', 'DOWNSTREAM_SERVICE_ERROR', 0],
        ['large', 'DOWNSTREAM_SERVICE_ERROR', 0],
        ['sick', 'DOWNSTREAM_SERVICE_ERROR', 500],
        ['unpicked', 'DOWNSTREAM_SERVICE_ERROR', 0],
        ['kept', 'DOWNSTREAM_SERVICE_ERROR', 0],
        ['unknown', 'SERVICE_UNAVAILABLE', 0],
        ['below', 'DOWNSTREAM_SERVICE_ERROR', 0],
      ],
    );
    assert.match(headers.get('x-partial') ?? '', /^slow;code=GATEWAY_TIMEOUT, broken;code=/);
    assert.equal(headers.get('cache-control'), 'no-store');
  });

  it('fails as the part does that it cannot be without, and waits for no other', async (t) => {
    const { get } = await startHome(t, { user, slow: { service: 'orders', path: '/orders/slow' } }, {});
    const missing = await get('/overview/404');
    assert.deepEqual([missing.status, missing.body], [404, { why: 'gone' }]);
    const broken = await startHome(t, { user, orders: { service: 'orders', path: '/orders/broken' } });
    const failed = await broken.get('/overview/1');
    assert.deepEqual(
      [failed.status, failed.body.code, failed.body.service],
      [502, 'DOWNSTREAM_SERVICE_ERROR', 'orders'],
    );
  });

  it('keeps parts where it says so, each for itself', async (t) => {
    const { get, users, orders } = await startHome(
      t,
      { user, orders: { service: 'orders', path: '/orders/1' } },
      { cache: {} },
    );
    await get('/overview/1');
    await get('/overview/1');
    await get('/overview/2');
    assert.deepEqual([users.asked.length, orders.asked.length], [2, 1]);
  });

  it('needs what its services need of all their routes', async (t) => {
    const users = await startJson(t, () => ({}));
    const { url } = await startGateway(t, {
      aggregate: { '/overview': { parts: { user: { service: 'users', path: '/users/1' } } } },
      services: {
        users: {
          authorize: { authenticated: true },
          instances: [{ url: users.url }],
          routes: [{ match: { path: '/users/*' } }],
        },
      },
    });
    assert.equal((await fetch(`${url}/overview`)).status, 401);
    assert.equal(users.asked.length, 0);
  });
});

describe('the configuration of an aggregate', () => {
  it('says what is wrong', async (t) => {
    const mistakeOf = async (parts: object) =>
      await startGateway(t, { aggregate: { '/overview/:id': { parts } } } as never).then(
        () => 'none',
        (error: { reasons?: { message: string }[] }) => error.reasons?.[0]?.message ?? String(error),
      );
    assert.match(await mistakeOf({ a: { service: 'x', path: '/:name' } }), /no `:name`/);
    assert.match(await mistakeOf({ a: { service: 'x', path: '/{b.c}' } }), /no part is named `b`/);
    assert.match(await mistakeOf({ a: { service: 'x', path: '/{b' } }), /brace/);
    assert.match(
      await mistakeOf({ a: { service: 'x', path: '/{b.c}' }, b: { service: 'x', path: '/{a.c}' } }),
      /wait for each other: a -> b -> a/,
    );
  });
});
