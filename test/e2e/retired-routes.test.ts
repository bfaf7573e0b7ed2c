import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`);
const apiKeys = keys.map((key) => ({ name: key, sha256: createHash('sha256').update(key).digest('hex') }));

test('a deprecated path says so on every answer, and its clients are known', async (t) => {
  const gateway = await startGateway(t, { authentication: { apiKeys } });
  const service = await startServer(t, (request, response) => {
    if (request.url?.includes('down') === true) request.socket.destroy();
    else response.setHeader('deprecation', '@1').end('old');
  });
  const retire = { deprecated: '2024-01-01', sunset: '2999-01-01', link: 'https://docs.example/v1' };
  await registerRest(gateway, 'shop', service.url, [{ match: { path: '/v1/*', methods: ['GET'] }, retire }]);
  const answers = [
    await fetch(`${gateway.url}/v1/a`, { headers: { 'x-api-key': 'key-1' } }),
    await fetch(`${gateway.url}/v1/down`, { headers: { 'x-api-key': 'key-1' } }),
    await fetch(`${gateway.url}/v1/a`, { headers: { 'x-client-name': 'old app' } }),
  ];
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 502, 200],
  );
  for (const { headers } of answers) {
    assert.equal(headers.get('deprecation'), '@1704067200');
    assert.equal(headers.get('sunset'), 'Tue, 01 Jan 2999 00:00:00 GMT');
    assert.match(headers.get('link') ?? '', /rel="deprecation", .*rel="sunset"/);
  }
  const { body } = await gateway.admin('GET', '/routes/usage');
  const [route] = body.routes;
  assert.deepEqual([route.label, route.service, route.calls], ['GET /v1/*', 'shop', 3]);
  const clients = route.clients.map(({ kind, viewer, client, address, served }: Record<string, unknown>) => [
    kind,
    viewer,
    client,
    address,
    served,
  ]);
  assert.deepEqual(clients, [
    ['anonymous', null, 'old app', '127.0.0.1', 1],
    ['api-key', 'key-1', null, null, 2],
  ]);
  const metrics = (await gateway.admin('GET', '/metrics')).body as string;
  assert.match(
    metrics,
    /selvage_retired_route_requests_total\{service="shop",route="GET \/v1\/\*",outcome="served"\} 3/,
  );
});

test('a share of the clients is moved to the replacement, each for good, and more as it grows', async (t) => {
  const gateway = await startGateway(t, { authentication: { apiKeys } });
  const old = await startServer(t, (request, response) => response.end(`old ${request.url}`));
  const next = await startServer(t, (request, response) => response.end(`next ${request.url}`));
  const register = async (share: string, fallbackFor: string[]) => {
    await registerRest(gateway, 'next', next.url, [{ match: { path: '/next' } }], { fallbackFor });
    const retire = { replacement: { service: 'next', rewrite: '/v2/:id', share } };
    await registerRest(gateway, 'shop', old.url, [{ match: { path: '/v1/:id' }, retire }]);
  };
  const ask = async () => {
    const texts = await Promise.all(
      keys.map(async (key) => (await fetch(`${gateway.url}/v1/7?q=1`, { headers: { 'x-api-key': key } })).text()),
    );
    assert.ok(
      texts.every((text) => text === 'old /v1/7?q=1' || text === 'next /v2/7?q=1'),
      texts.join(),
    );
    return keys.filter((_, index) => texts[index]?.startsWith('next'));
  };
  await register('40%', []);
  assert.deepEqual(await ask(), [], 'the other service does not agree');
  await register('40%', ['shop']);
  const some = await ask();
  assert.ok(some.length > 4 && some.length < 30, `${some.length}`);
  assert.deepEqual(await ask(), some);
  await register('70%', ['shop']);
  const more = await ask();
  assert.ok(more.length > some.length && some.every((key) => more.includes(key)));
  await register('100%', ['shop']);
  assert.equal((await ask()).length, keys.length);
});

test('after its end a path is gone, and who still asks for it is known', async (t) => {
  const gateway = await startGateway(t);
  let asked = 0;
  const service = await startServer(t, (_request, response) => {
    asked++;
    response.end();
  });
  const retire = { deprecated: '2023-01-01', gone: '2024-01-01', successor: '/v2' };
  await registerRest(gateway, 'shop', service.url, [{ match: { path: '/v1/*' }, retire }]);
  const answer = await fetch(`${gateway.url}/v1/a`, { method: 'POST', body: 'x' });
  assert.equal(answer.status, 410);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  assert.equal(((await answer.json()) as { code: string }).code, 'GONE');
  assert.equal(answer.headers.get('deprecation'), '@1672531200');
  assert.equal(answer.headers.get('link'), '</v2>; rel="successor-version"');
  assert.equal(asked, 0);
  const { body } = await gateway.admin('GET', '/routes/usage');
  assert.equal(body.routes[0].clients[0].gone, 1);
});

test('what cannot be meant is refused when it is registered', async (t) => {
  const gateway = await startGateway(t);
  const put = async (retire: object) => {
    const routes = [{ match: { path: '/v1/:id' }, retire }];
    const { status, body } = await gateway.admin('PUT', '/services/shop', { routes });
    return [status, body.reasons?.[0]?.path];
  };
  assert.deepEqual(await put({ sunset: '2024-13-01' }), [400, '/routes/0/retire/sunset']);
  assert.deepEqual(await put({ deprecated: '2025-01-01', sunset: '2024-01-01' }), [400, '/routes/0/retire/sunset']);
  assert.deepEqual(await put({ replacement: { rewrite: '/v2/:name' } }), [400, '/routes/0/retire/replacement/rewrite']);
});
