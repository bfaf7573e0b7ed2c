import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { chromiumSkipReason, startBrowser } from '../support/chromium.ts';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startPlainGraphql, startServer } from '../support/subgraph.ts';

async function startShop(
  t: TestContext,
  config: object,
  routes: object[],
  headers: Record<string, string | string[]> = {},
) {
  const gateway = await startGateway(t, config);
  const seen: string[] = [];
  const service = await startServer(t, (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.writeHead(200, headers);
    response.end('done');
  });
  await registerRest(gateway, 'shop', service.url, routes);
  return { gateway, seen };
}

test('the recommended headers stand on every answer, and leave what the service said', async (t) => {
  const own = {
    'x-frame-options': 'DENY',
    server: 'php',
    'x-powered-by': 'php',
    'strict-transport-security': 'max-age=1',
  };
  const config = { policies: { securityHeaders: { preset: 'recommended' } }, trustedProxies: ['127.0.0.0/8'] };
  const routes = [
    { match: { path: '/a' } },
    {
      match: { path: '/b' },
      securityHeaders: { frames: 'same-origin', contentSecurityPolicy: "default-src 'self';", override: true },
    },
  ];
  const { gateway } = await startShop(t, config, routes, own);
  const names = [
    'x-frame-options',
    'content-security-policy',
    'x-content-type-options',
    'strict-transport-security',
    'server',
  ];
  const read = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await ask(gateway.url + path, { headers });
    return names.map((name) => answer.headers[name]);
  };
  const https = { 'x-forwarded-proto': 'https' };
  assert.deepEqual(await read('/a'), ['DENY', "frame-ancestors 'self'", 'nosniff', undefined, undefined]);
  assert.deepEqual((await read('/a', https))[3], 'max-age=1', 'the service knows better');
  assert.deepEqual(await read('/none', https), [
    'SAMEORIGIN',
    "frame-ancestors 'self'",
    'nosniff',
    'max-age=31536000',
    undefined,
  ]);
  assert.deepEqual(await read('/b'), [
    'SAMEORIGIN',
    "default-src 'self'; frame-ancestors 'self'",
    undefined,
    undefined,
    'php',
  ]);
});

test('no untrusted peer makes the gateway promise https', async (t) => {
  const { gateway } = await startShop(t, { policies: { securityHeaders: { hsts: { includeSubDomains: true } } } }, [
    { match: { path: '/a' } },
  ]);
  const answer = await ask(`${gateway.url}/a`, { headers: { 'x-forwarded-proto': 'https' } });
  assert.equal(answer.headers['strict-transport-security'], undefined);
});

test('a route that checks for forgery refuses what another page sends with a cookie', async (t) => {
  const routes = [
    { match: { path: '/safe' }, csrf: { trustedOrigins: ['https://app.example'] } },
    { match: { path: '/cors' }, csrf: {}, cors: { origins: ['https://*.shop.example'], credentials: true } },
    { match: { path: '/open' } },
  ];
  const { gateway, seen } = await startShop(t, {}, routes);
  const post = async (path: string, headers: Record<string, string>, method = 'POST') =>
    (await ask(gateway.url + path, { method, headers })).status;
  const cookie = { cookie: 'session=1' };
  const host = new URL(gateway.url).host;
  assert.equal(await post('/safe', { ...cookie, 'sec-fetch-site': 'cross-site' }), 403);
  assert.equal(await post('/safe', { ...cookie, 'sec-fetch-site': 'same-site' }), 403);
  assert.equal(await post('/safe', { ...cookie, origin: 'https://evil.example' }), 403);
  assert.equal(await post('/safe', { ...cookie, origin: 'null' }), 403);
  assert.equal(await post('/safe', cookie), 403);
  assert.equal(await post('/safe', { origin: 'https://evil.example' }), 403, 'nobody is logged in by another page');
  assert.equal(await post('/cors', { ...cookie, origin: 'https://shop.example' }), 403);
  assert.deepEqual(seen, []);
  assert.equal(await post('/safe', {}), 200, 'no browser sends neither');
  assert.equal(await post('/safe', { ...cookie, 'sec-fetch-site': 'cross-site' }, 'GET'), 200);
  assert.equal(await post('/safe', { ...cookie, 'sec-fetch-site': 'same-origin' }), 200);
  assert.equal(await post('/safe', { ...cookie, origin: `http://${host}` }), 200);
  assert.equal(await post('/safe', { ...cookie, 'sec-fetch-site': 'cross-site', origin: 'https://app.example' }), 200);
  assert.equal(
    await post('/cors', { ...cookie, 'sec-fetch-site': 'cross-site', origin: 'https://eu.shop.example' }),
    200,
  );
  assert.equal(await post('/open', { ...cookie, 'sec-fetch-site': 'cross-site' }), 200);
});

test('GraphQL by GET is refused where a page of another origin may have caused it', async (t) => {
  const app = 'https://app.example';
  const expected: [mode: object, headers: Record<string, string>, status: number][] = [
    [{}, {}, 200],
    [{}, { 'sec-fetch-site': 'same-origin' }, 200],
    [{}, { 'sec-fetch-site': 'cross-site' }, 403],
    [{}, { origin: 'https://evil.example' }, 403],
    [{}, { 'sec-fetch-site': 'cross-site', 'apollo-require-preflight': '1' }, 200],
    [{ cors: { origins: [app] } }, { 'sec-fetch-site': 'cross-site', origin: app }, 200],
    [{ csrf: 'always' }, { 'sec-fetch-site': 'same-origin' }, 403],
    [{ csrf: 'always' }, { 'x-apollo-operation-name': 'a' }, 200],
    [{ csrf: 'off' }, { 'sec-fetch-site': 'cross-site' }, 200],
  ];
  const service = await startPlainGraphql(t, 'type Query { hello: String }', { Query: { hello: () => 'hi' } });
  for (const [mode, headers, status] of expected) {
    const gateway = await startGateway(t, { graphql: mode });
    await registerGraphql(gateway, 'plain', service.url);
    const answer = await ask(`${gateway.url}/graphql?query={hello}`, {
      headers: { accept: 'application/json', ...headers },
    });
    assert.equal(answer.status, status, `${JSON.stringify([mode, headers])} ${answer.text}`);
    if (status === 403) assert.equal(JSON.parse(answer.text).errors[0].extensions.code, 'FORBIDDEN');
  }
});

test('cookies of a service are made safe and fit the paths of the gateway', async (t) => {
  const routes = [
    {
      match: { path: '/api/shop/*' },
      rewrite: '/v1/*',
      cookies: { secure: true, httpOnly: true, sameSite: 'lax', domain: false, path: 'rewrite' },
    },
    { match: { path: '/plain' } },
  ];
  const set = ['a=1; Path=/v1/cart; Domain=internal.example', '__Host-b=2; Path=/; Secure'];
  const { gateway } = await startShop(t, {}, routes, { 'set-cookie': set });
  const answer = await ask(`${gateway.url}/api/shop/cart`);
  assert.deepEqual(answer.headers['set-cookie'], [
    'a=1; Path=/api/shop/cart; HttpOnly; SameSite=Lax; Secure',
    '__Host-b=2; Path=/; Secure; HttpOnly; SameSite=Lax',
  ]);
  assert.deepEqual((await ask(`${gateway.url}/plain`)).headers['set-cookie'], set);
});

test('a real browser cannot be made to change anything by a form of another origin', {
  skip: chromiumSkipReason,
}, async (t) => {
  const { gateway, seen } = await startShop(t, {}, [{ match: { path: '/change' }, csrf: {} }]);
  const pages = createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<form method="post" action="${gateway.url}/change"><button>go</button></form>`);
  }).listen(0, '127.0.0.1');
  await once(pages, 'listening');
  t.after(() => pages.close().closeAllConnections());
  const browser = await startBrowser(t);
  const page = await browser.newPage();
  await page.context().addCookies([{ name: 'session', value: '1', url: gateway.url }]);
  await page.goto(`http://localhost:${(pages.address() as AddressInfo).port}`);
  const answer = page.waitForResponse(`${gateway.url}/change`);
  await page.getByRole('button').click();
  assert.equal((await answer).status(), 403);
  assert.deepEqual(seen, []);
});
