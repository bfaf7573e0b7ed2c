import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../gateway/config-file.ts';
import type { GatewayError } from '../../policies/errors.ts';
import { checkDefinition, findDefinitionMistakes } from '../../subgraphs/definition-check.ts';
import { startGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';
import { ask, compileOrders, connectOrders, startOrders, startShop } from './orders.ts';

const get = { path: '/v1/orders/:id', methods: ['GET'] };

test('what has no effect on messages of gRPC is refused at the route that says it', async () => {
  const descriptors = await compileOrders();
  const mistakesOf = (route: object, grpc: object = { descriptors }) =>
    findDefinitionMistakes({ grpc, routes: [{ match: get, ...route }] }).map(
      ({ path, message }) => `${path}: ${message}`,
    );
  const options = {
    validate: { body: { type: 'object' } },
    transform: { request: { body: '$' } },
    mirror: { version: '2' },
    compression: {},
    idempotencyKeys: true,
    callback: true,
    rewrite: '/v2/orders/:id',
    cache: { ttl: '1m' },
  };
  for (const [kind, value] of Object.entries(options)) {
    const found = mistakesOf({ [kind]: value }).filter((mistake) => mistake.startsWith(`/routes/0/${kind}: has no`));
    assert.equal(found.length, 1, `${kind}: ${mistakesOf({ [kind]: value })}`);
  }
  assert.match(
    mistakesOf({ idempotencyKeys: true }).join(),
    /^\/routes\/0\/idempotencyKeys: has no effect at \/v1\/orders\/:id: GET is the method shop\.v1\.Orders\/Get of gRPC$/,
  );
  const called = { match: { path: '/shop.v1.Orders/Get' } };
  for (const grpc of [{ descriptors }, { services: ['shop.v1.Orders'] }]) {
    assert.match(
      mistakesOf({ ...called, compression: {} }, grpc).join(),
      /^\/routes\/0\/compression: .*called by gRPC$/,
    );
    assert.match(mistakesOf({ ...called, fallback: { body: {} } }, grpc).join(), /^\/routes\/0\/fallback: /);
    assert.deepEqual(mistakesOf({ ...called, rewrite: '/shop.v2.Orders/Get', timeout: '1s' }, grpc), []);
  }
  // Of a path that leads to one method by one verb, the other verbs count as well.
  assert.match(mistakesOf({ match: { path: '/v1/watch' }, compression: {} }).join(), /GET is the method/);
  assert.deepEqual(mistakesOf({ compression: { enabled: false }, idempotencyKeys: false, fallback: { body: {} } }), []);
  assert.deepEqual(mistakesOf({ match: { path: '/files/*' }, compression: {}, rewrite: '/*' }), []);
  assert.deepEqual(mistakesOf({ compression: {} }, { descriptors, transcoding: false }), []);
});

test('a service that was accepted before goes on, whatever has no effect in it', () => {
  const grpc = { services: ['shop.v1.Orders'] };
  const definition = { grpc, routes: [{ match: { path: '/shop.v1.Orders/Get' }, compression: {} }] };
  assert.throws(() => checkDefinition(definition), { code: 'BAD_REQUEST' });
  assert.deepEqual(checkDefinition(definition, false), definition);
});

test('a configuration is refused with the place, and what routes inherit is no mistake', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'selvage-grpc-'));
  t.after(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, 'shop.pb'), Buffer.from(await compileOrders(), 'base64'));
  const load = async (ofRoute: string) => {
    await writeFile(
      join(directory, 'selvage.yaml'),
      `policies: { compression: {} }
services:
  shop:
    grpc: { descriptors: "file:shop.pb" }
    compression: {}
    routes: [{ match: { path: "/v1/orders/:id", methods: [GET] }${ofRoute} }]`,
    );
    return loadConfig({ directory, environment: {} });
  };
  await load('');
  await assert.rejects(load(', compression: {}'), (error: GatewayError) => {
    const [reason] = error.reasons ?? [];
    assert.equal(reason?.path, '/services/shop/routes/0/compression');
    assert.match(reason.message, /selvage\.yaml:6:.*has no effect at/);
    return true;
  });
});

test('clients of a retired path are moved from one method to another', async (t) => {
  const replace = (rewrite: string) => ({
    routes: [{ match: { path: '/v1/orders/:id', methods: ['GET'] }, retire: { replacement: { rewrite } } }],
  });
  const { gateway, seen, url } = await startShop(t, { service: replace('/v1/files/old/:id') });
  const moved = await fetch(`${gateway.url}/v1/orders/a%20b`);
  assert.deepEqual([moved.status, await moved.json()], [200, { text: 'files/old/a b' }]);
  assert.deepEqual([seen[0]?.method, seen[0]?.message.name], ['Read', 'files/old/a b']);
  const metrics = String((await gateway.admin('GET', '/metrics')).body);
  assert.match(
    metrics,
    /selvage_retired_route_requests_total\{service="shop",route="GET \/v1\/orders\/:id",outcome="moved"\} 1/,
  );
  const { status, body } = await gateway.admin('PUT', '/services/shop', {
    grpc: { descriptors: await compileOrders() },
    instances: [{ url }],
    ...replace('/v3/orders/:id'),
  });
  assert.equal(status, 400);
  assert.match(
    JSON.stringify(body),
    /\/routes\/0\/retire\/replacement\/rewrite.*leads to no method.*GET \/v3\/orders\/:id/,
  );
});

test('REST is replaced by gRPC of another service, and the other way round', async (t) => {
  const gateway = await startGateway(t, { listen: { http2: { clear: true } } });
  const rest = await startServer(t, (request, response) => response.end(`rest ${request.method} ${request.url}`));
  const orders = await startOrders(t);
  const put = async (name: string, body: object) => {
    const answer = await gateway.admin('PUT', `/services/${name}`, body);
    assert.ok(answer.status < 300, JSON.stringify(answer.body));
  };
  const descriptors = await compileOrders();
  const instances = [{ url: orders.url }];
  const toShop = { replacement: { service: 'shop', rewrite: '/v1/orders/:id' } };
  await put('shop', { grpc: { descriptors }, instances, fallbackFor: ['old'] });
  await registerRest(gateway, 'old', rest.url, [{ match: { path: '/old/:id' }, retire: toShop }], {
    fallbackFor: ['shop'],
  });
  const read = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(gateway.url + path, init);
    return [answer.status, await answer.text()] as const;
  };
  const [status, text] = await read('/old/7?full=true');
  assert.deepEqual([status, JSON.parse(text).orderId, orders.seen[0]?.message.full], [200, '7', true]);
  assert.equal((await read('/old/fail-5'))[0], 404);
  const headers = { 'content-type': 'application/json' };
  const replaced = await read('/old/8', { method: 'PUT', headers, body: '{"gift":true}' });
  assert.deepEqual(JSON.parse(replaced[1]), { orderId: '8', gift: true });

  const toOld = { replacement: { service: 'old', rewrite: '/old/new' } };
  await put('shop', { grpc: { descriptors }, instances, routes: [{ match: get, retire: toOld }] });
  assert.deepEqual(await read('/v1/orders/7'), [200, 'rest GET /old/new']);
});

test('calls of gRPC to a retired method are moved to another one', async (t) => {
  const { client, seen } = await startShop(t, {
    service: {
      routes: [
        { match: { path: '/shop.v1.Orders/Cancel' }, retire: { replacement: { rewrite: '/shop.v1.Orders/Read' } } },
      ],
    },
  });
  const { error, message } = await ask(client, 'Cancel', { name: 'x' });
  assert.equal(error, null);
  assert.deepEqual([message.text, seen[0]?.method], ['x', 'Read']);
});

test('bindings and warnings know the routes that nobody wrote', async (t) => {
  const gateway = await startGateway(t, {
    listen: { http2: { clear: true } },
    policies: {
      named: {
        rest: { bind: { routes: [{ service: 'shop', path: '/v1/orders/:p2', methods: ['GET'] }] }, timeout: '1s' },
        grpc: { bind: { routes: [{ service: 'shop', path: '/shop.v1.Orders/*' }] }, timeout: '1s' },
        none: { bind: { routes: [{ service: 'shop', path: '/v1/nothing' }] }, timeout: '1s' },
      },
    },
  });
  const orders = await startOrders(t);
  await gateway.admin('PUT', '/services/shop', {
    grpc: { descriptors: await compileOrders() },
    instances: [{ url: orders.url }],
    routes: [{ match: { path: '/v1/shelves/*', precedence: 5 } }],
  });
  assert.equal((await ask(connectOrders(t, gateway), 'Get', { orderId: '1' })).error, null);
  const unmatched = gateway.lines.filter(({ msg }) => String(msg).startsWith('bindings of policies'));
  assert.deepEqual(
    ((unmatched.at(-1)?.['unmatched'] ?? []) as { policy: string }[]).map(({ policy }) => policy),
    ['none'],
  );
  const [unreached] = gateway.lines.filter(({ msg }) => msg === 'routes that no request reaches');
  assert.match(JSON.stringify(unreached), /GET \/v1\/shelves\/:p2\/orders\/:p4/);
  assert.match(JSON.stringify(unreached), /\/v1\/shelves\/\* of shop takes all its requests/);
});
