import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';
import { startTokenIssuer } from '../support/token-issuer.ts';

async function startEcho(t: TestContext, name: string) {
  return startServer(t, (request, response) => {
    response.setHeader('content-type', 'application/json');
    const { host } = request.headers;
    response.end(JSON.stringify({ name, url: request.url, host, variant: request.headers['x-route-variant'] ?? null }));
  });
}

const ask = async (url: string, headers: Record<string, string> = {}) =>
  (await fetch(url, { headers, redirect: 'manual' })).json() as Promise<Record<string, unknown>>;

test('routes of one path go by header, query and expression, and rewrite with what was captured', async (t) => {
  const gateway = await startGateway(t);
  const service = await startEcho(t, 'shop');
  await registerRest(gateway, 'shop', service.url, [
    { match: { path: '/o/*', regex: '/o/(?<year>\\d{4})-(\\d+)' }, rewrite: '/orders/:2/of/:year' },
    { match: { path: '/o/:id(\\d+)' }, rewrite: '/by-number/:id', host: 'inner.example' },
    { match: { path: '/o/*' }, rewrite: '/rest/*' },
    { match: { path: '/o/*', headers: { 'x-beta': 'yes' } }, rewrite: '/beta/*' },
    { match: { path: '/o/x', query: { v: '2' } }, rewrite: '/v2' },
  ]);
  assert.equal((await ask(`${gateway.url}/o/2026-17`))['url'], '/orders/17/of/2026');
  const numbered = await ask(`${gateway.url}/o/17?a=1`);
  assert.equal(numbered['url'], '/by-number/17?a=1');
  assert.equal(numbered['host'], 'inner.example');
  assert.equal((await ask(`${gateway.url}/o/x`))['url'], '/rest/x');
  assert.equal((await ask(`${gateway.url}/o/x`, { 'x-beta': 'yes' }))['url'], '/beta/x');
  assert.equal((await ask(`${gateway.url}/o/x?v=2`))['url'], '/v2?v=2');
  const long = await fetch(`${gateway.url}/o/${'7'.repeat(2_100)}`);
  assert.equal(long.status, 414);
  assert.equal((await long.json()).code, 'URI_TOO_LONG');
  const { body } = await gateway.admin('GET', '/routes');
  assert.deepEqual(
    body.routes.map(({ order, label }: { order: number; label: string }) => `${order} ${label}`),
    ['1 ANY /o/x [query v]', '2 ANY /o/:id(\\d+)', '3 ANY /o/* [regex]', '4 ANY /o/* [header x-beta]', '5 ANY /o/*'],
  );
});

test('redirects keep captured parts in the path, and fixed answers ask no service', async (t) => {
  const gateway = await startGateway(t);
  await registerRest(gateway, 'edge', 'http://127.0.0.1:9', [
    { match: { path: '/old/*' }, redirect: { to: '/*', status: 301 } },
    { match: { path: '/away/:id' }, redirect: { to: 'https://new.example/items/:id', keepQuery: false } },
    { match: { path: '/g/*', regex: '/g/([A-Z]*)/?([a-z.]*)' }, redirect: { to: '/:1/:2' } },
    {
      match: { path: '/robots.txt' },
      respond: { body: 'User-agent: *\n', headers: { 'cache-control': 'max-age=60' } },
    },
    { match: { path: '/gone' }, respond: { status: 410, body: { gone: true } } },
  ]);
  const go = async (path: string, method = 'GET') => fetch(gateway.url + path, { method, redirect: 'manual' });
  const moved = await go('/old/a%20b/c?x=1');
  assert.equal(moved.status, 301);
  assert.equal(moved.headers.get('location'), '/a%20b/c?x=1');
  const away = await go('/away/7?x=1');
  assert.equal(away.status, 308);
  assert.equal(away.headers.get('location'), 'https://new.example/items/7');
  // Nothing that a client sends becomes a host.
  for (const path of [
    '/old/%5Cevil.example',
    '/old//evil.example',
    '/old/.evil.example',
    '/g//evil.example',
    '/g/evil.example',
  ]) {
    const location = (await go(path)).headers.get('location');
    if (location !== null) assert.match(location, /^\/(?![/\\])/, path);
  }
  const robots = await go('/robots.txt');
  assert.equal(await robots.text(), 'User-agent: *\n');
  assert.equal(robots.headers.get('cache-control'), 'max-age=60');
  assert.ok(robots.headers.get('x-request-id'));
  assert.equal((await go('/robots.txt', 'HEAD')).headers.get('content-length'), '14');
  const gone = await go('/gone');
  assert.equal(gone.status, 410);
  assert.deepEqual(await gone.json(), { gone: true });
});

test('a split spreads, sticks, is chosen by a header, and asks only services that agree', async (t) => {
  const gateway = await startGateway(t);
  const [stable, canary, other] = await Promise.all([
    startEcho(t, 'stable'),
    startEcho(t, 'canary'),
    startEcho(t, 'other'),
  ]);
  const offer = (name: string, url: string, trafficFrom: string[]) =>
    gateway.admin('PUT', `/services/${name}`, {
      routes: [{ match: { path: `/${name}` } }],
      instances: [{ url }],
      trafficFrom,
    });
  await offer('canary', canary.url, ['orders']);
  await offer('other', other.url, []);
  await registerRest(gateway, 'orders', stable.url, [
    {
      match: { path: '/orders/*' },
      split: {
        variants: [
          { name: 'stable', weight: 50 },
          { name: 'canary', weight: 50, service: 'canary' },
          { name: 'stolen', weight: 1_000, service: 'other' },
        ],
        sticky: { header: 'x-user' },
        chooseBy: 'x-canary',
      },
    },
  ]);
  const seen = new Set<unknown>();
  for (let user = 0; user < 40; user++) {
    const headers = { 'x-user': `u${user}`, 'x-route-variant': 'forged' };
    const first = await ask(`${gateway.url}/orders/1`, headers);
    assert.deepEqual(await ask(`${gateway.url}/orders/1`, headers), first);
    assert.equal(first['variant'], first['name']);
    seen.add(first['name']);
  }
  assert.deepEqual([...seen].toSorted(), ['canary', 'stable']);
  assert.equal((await ask(`${gateway.url}/orders/1`, { 'x-canary': 'canary' }))['name'], 'canary');
  assert.equal((await ask(`${gateway.url}/orders/1`, { 'x-canary': 'never' }))['name'], 'stable');
});

test('a version and a region choose among the instances of a service', async (t) => {
  const gateway = await startGateway(t);
  const [one, two, three] = await Promise.all([startEcho(t, '1.4'), startEcho(t, '2.0'), startEcho(t, '2.1')]);
  await gateway.admin('PUT', '/services/shop', {
    routes: [
      { match: { path: '/v2' }, version: '2.x' },
      { match: { path: '/v9' }, version: '9.0' },
      { match: { path: '/near' }, region: { header: 'x-region', zones: { europe: 'eu', america: 'us' } } },
    ],
    instances: [
      { url: one.url, version: '1.4', zone: 'eu' },
      { url: two.url, version: '2.0', zone: 'us' },
      { url: three.url, version: '2.1', zone: 'us' },
    ],
  });
  for (let i = 0; i < 10; i++) {
    assert.match(String((await ask(`${gateway.url}/v2`))['name']), /^2/);
    assert.equal((await ask(`${gateway.url}/near`, { 'x-region': 'europe' }))['name'], '1.4');
    assert.match(String((await ask(`${gateway.url}/near`, { 'x-region': 'america' }))['name']), /^2/);
  }
  assert.equal((await fetch(`${gateway.url}/v9`)).status, 503);
});

test('of two teams only one may have the same path and predicates, or put the other out by precedence', async (t) => {
  const gateway = await startGateway(t);
  const put = async (name: string, match: object) =>
    (await gateway.admin('PUT', `/services/${name}`, { routes: [{ match }] })).status;
  assert.equal(await put('a', { path: '/x/:id', headers: { 'X-Kind': 'b', a: '1' } }), 201);
  assert.equal(await put('b', { path: '/x/:name', headers: { a: '1', 'x-kind': 'b' } }), 409);
  assert.equal(await put('b', { path: '/x/:name', headers: { a: '1' } }), 201);
  assert.equal(await put('c', { path: '/x/*', precedence: 10 }), 409);
  assert.equal(await put('c', { path: '/x/*', precedence: 10, headers: { c: '1' } }), 201);
  assert.equal(await put('d', { path: '/y/:id((a+)+)' }), 400);
  assert.equal(await put('d', { path: '/y/*', regex: '/y/(a|a)*' }), 400);
});

test('a route that nothing reaches is said to be so', async (t) => {
  const gateway = await startGateway(t);
  const service = await startEcho(t, 'a');
  await registerRest(gateway, 'a', service.url, [
    { match: { path: '/x/*', precedence: 3 } },
    { match: { path: '/x/y' } },
    { match: { path: '/z/*', regex: '/other/.*' } },
    { match: { path: '/fine' } },
    { match: { path: '/n/:id(\\d+)' } },
    { match: { path: '/n/7', precedence: -1 } },
    { match: { path: '/n/x', precedence: -1 } },
  ]);
  const { body } = await gateway.admin('GET', '/routes');
  const found = Object.fromEntries(body.routes.map((route: Record<string, unknown>) => [route['label'], route]));
  assert.deepEqual(found['ANY /x/y'].shadowedBy, { service: 'a', label: 'ANY /x/*' });
  assert.match(found['ANY /z/* [regex]'].unreached, /fits no path/);
  assert.equal(found['ANY /fine'].unreached, undefined);
  assert.deepEqual(found['ANY /n/7'].shadowedBy, { service: 'a', label: 'ANY /n/:id(\\d+)' });
  assert.equal(found['ANY /n/x'].unreached, undefined);
});

test('claims of a real token choose the route; without one, or with a bad one, nothing of it is reached', async (t) => {
  await using issuer = await startTokenIssuer();
  const gateway = await startGateway(t, {
    authentication: { jwt: [{ issuer: issuer.issuer, jwksUri: issuer.jwksUri, audience: 'selvage' }] },
  });
  const service = await startEcho(t, 'shop');
  await registerRest(gateway, 'shop', service.url, [
    { match: { path: '/price', claims: { plan: 'gold' } }, rewrite: '/gold' },
    { match: { path: '/price', claims: { groups: 'staff' }, precedence: 1 }, rewrite: '/staff' },
    { match: { path: '/price' }, rewrite: '/plain' },
    { match: { path: '/only', claims: { plan: { oneOf: ['gold', 'silver'] } } }, rewrite: '/members' },
  ]);
  const reach = async (path: string, claims?: Record<string, unknown>) => {
    const headers: Record<string, string> = {};
    if (claims !== undefined) headers['authorization'] = `Bearer ${await issuer.sign({ aud: 'selvage', ...claims })}`;
    const answer = await fetch(gateway.url + path, { headers });
    const body = await answer.json();
    return answer.status === 200 ? body.url : [answer.status, body.code];
  };
  assert.equal(await reach('/price'), '/plain');
  assert.equal(await reach('/price', { plan: 'gold' }), '/gold');
  assert.equal(await reach('/price', { plan: 'gold', groups: ['other', 'staff'] }), '/staff');
  assert.equal(await reach('/price', { plan: 'bronze' }), '/plain');
  assert.deepEqual(await reach('/price', { plan: 'gold', aud: 'somebody else' }), [401, 'UNAUTHENTICATED']);
  assert.equal(await reach('/only', { plan: 'silver' }), '/members');
  assert.deepEqual(await reach('/only'), [401, 'UNAUTHENTICATED']);
  assert.deepEqual(await reach('/only', { plan: 'bronze' }), [404, 'ROUTE_NOT_FOUND']);
  await registerRest(gateway, 'rest', service.url, [{ match: { path: '/*' } }]);
  assert.equal(await reach('/only'), '/only', 'claims are a predicate: what fits otherwise takes the request');
  assert.equal(await reach('/other;x'), '/other;x');
  // A service that cuts `;x` off would take it for the path of the route with claims.
  assert.deepEqual(await reach('/only;x', { plan: 'silver' }), [400, 'BAD_REQUEST']);
});

test('what is kept of one version, or one variant, is never the answer of another', async (t) => {
  const gateway = await startGateway(t);
  const start = (name: string) =>
    startServer(t, (_request, response) => {
      response.setHeader('cache-control', 'max-age=60');
      response.end(JSON.stringify({ name }));
    });
  const [one, two] = await Promise.all([start('1.4'), start('2.0')]);
  const beta = { 'x-beta': 'yes' };
  await gateway.admin('PUT', '/services/shop', {
    routes: [
      { match: { path: '/item', headers: beta }, version: '2.x', cache: {} },
      { match: { path: '/item' }, version: '1.x', cache: {} },
    ],
    instances: [
      { url: one.url, version: '1.4' },
      { url: two.url, version: '2.0' },
    ],
  });
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await ask(`${gateway.url}/item`, beta), { name: '2.0' });
    assert.deepEqual(await ask(`${gateway.url}/item`), { name: '1.4' });
  }
  const kept = await fetch(`${gateway.url}/item`);
  assert.match(String(kept.headers.get('cache-status')), /hit/);
});
