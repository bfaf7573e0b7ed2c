import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { until } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

// Breakers, fallbacks and bulkheads of routes.

/** A service that answers paths with `bad` in them with 500, and `hang` never. */
async function startService(t: TestContext, name: string) {
  const asked: string[] = [];
  const waiting = new Set<object>();
  const service = await startServer(t, (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (request.url?.includes('hang')) {
      waiting.add(response);
      response.once('close', () => waiting.delete(response));
    } else response.writeHead(request.url?.includes('bad') ? 500 : 200).end(name);
  });
  return { ...service, asked, waiting };
}

test('the breaker of a route opens for that route alone, and survives other registrations', async (t) => {
  const shop = await startService(t, 'shop');
  const gateway = await startGateway(t, {
    policies: { circuitBreaker: { minimumCalls: 1_000 } },
    services: {
      shop: {
        instances: [{ url: shop.url }],
        routes: [
          { match: { path: '/bad' }, circuitBreaker: { minimumCalls: 3, openFor: '1h' } },
          { match: { path: '/good' }, circuitBreaker: { minimumCalls: 3, openFor: '1h' } },
        ],
      },
    },
  });
  const get = async (path: string) => (await fetch(`${gateway.url}${path}`)).status;
  for (let i = 0; i < 3; i++) assert.equal(await get('/bad'), 500);
  const asked = shop.asked.length;
  assert.equal(await get('/bad'), 503);
  await gateway.admin('PUT', '/services/other', { routes: [{ match: { path: '/other' } }] });
  const refused = await fetch(`${gateway.url}/bad`);
  assert.equal((await refused.json()).code, 'CIRCUIT_BREAKER_OPEN');
  assert.equal(shop.asked.length, asked);
  assert.equal(await get('/good'), 200);
});

test('another service, or a value, stands in for a route whose service cannot answer', async (t) => {
  const shop = await startService(t, 'shop');
  const archive = await startService(t, 'archive');
  const gateway = await startGateway(t, {
    services: {
      archive: { instances: [{ url: archive.url }], routes: [{ match: { path: '/archive' } }], fallbackFor: ['shop'] },
      private: { instances: [{ url: archive.url }], routes: [{ match: { path: '/private' } }] },
      shop: {
        instances: [{ url: shop.url }],
        timeout: '100ms',
        retry: { attempts: 0 },
        routes: [
          { match: { path: '/both/*' }, fallback: { service: 'archive', body: { items: [] } } },
          { match: { path: '/taken/*' }, fallback: { service: 'private' } },
          { match: { path: '/value/*' }, fallback: { status: 203, body: null } },
        ],
      },
    },
  });
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`${gateway.url}${path}`, init);
    return [response.status, await response.text()];
  };
  assert.deepEqual(await ask('/both/1'), [200, 'shop']);
  assert.deepEqual(await ask('/both/bad'), [500, 'shop'], 'an answer is an answer');
  assert.deepEqual(await ask('/value/hang'), [203, 'null']);
  await shop.kill();
  assert.deepEqual(await ask('/both/1?x=1'), [200, 'archive']);
  assert.equal(archive.asked.at(-1), 'GET /both/1?x=1');
  const before = archive.asked.length;
  assert.deepEqual(await ask('/both/1', { method: 'POST', body: 'an order' }), [200, '{"items":[]}']);
  assert.equal(archive.asked.length, before, 'a POST goes to no other service');
  assert.equal((await ask('/taken/1'))[0], 503, 'a service that does not agree is not led to');
  assert.equal(archive.asked.length, before);
  await archive.kill();
  const valued = await fetch(`${gateway.url}/both/1`);
  assert.deepEqual([valued.status, await valued.json()], [200, { items: [] }]);
  assert.match(valued.headers.get('proxy-status') ?? '', /destination_unavailable/);
});

test('a service that hangs takes no more calls than its bulkhead has', async (t) => {
  const shop = await startService(t, 'shop');
  const gateway = await startGateway(t, {
    services: {
      shop: {
        instances: [{ url: shop.url }],
        bulkhead: { calls: 2 },
        routes: [{ match: { path: '/*' } }],
      },
    },
  });
  const hanging = [1, 2].map(() => {
    const request = httpRequest(`${gateway.url}/hang`).on('error', () => {});
    request.end();
    return request;
  });
  await until(() => shop.waiting.size === 2, 'both are under way');
  const refused = await fetch(`${gateway.url}/x`);
  assert.deepEqual([refused.status, (await refused.json()).code], [503, 'OVERLOADED']);
  assert.equal(shop.asked.length, 2);
  for (const request of hanging) request.destroy();
  await until(async () => (await fetch(`${gateway.url}/x`)).status === 200, 'there is room again');
});
