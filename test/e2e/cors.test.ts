import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { chromiumSkipReason, startBrowser } from '../support/chromium.ts';
import { ask } from '../support/connections.ts';
import { startGateway } from '../support/gateway.ts';
import { registerGraphql, registerRest } from '../support/registration.ts';
import { startPlainGraphql, startServer } from '../support/subgraph.ts';

const app = 'https://app.example';
const apiKeys = [{ name: 'one', sha256: createHash('sha256').update('key').digest('hex') }];
const preflight = { origin: app, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-a, x-b' };

async function startShop(t: TestContext, config: object = {}, more: object = {}) {
  const gateway = await startGateway(t, { authentication: { apiKeys, required: true }, ...config });
  const seen: string[] = [];
  const service = await startServer(t, (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.writeHead(200, {
      'access-control-allow-origin': 'https://other.example',
      'access-control-allow-credentials': 'true',
      'cache-control': 'public, max-age=60',
      vary: 'Accept',
      etag: '"1"',
    });
    response.end('body');
  });
  const cors = { origins: [app, 'https://*.shop.example'], credentials: true, exposedHeaders: ['etag'] };
  await registerRest(gateway, 'shop', service.url, [
    { match: { path: '/cors/*' }, cors, cache: {}, ...more },
    { match: { path: '/plain/*' }, public: true },
    {
      match: { path: '/open/*', methods: ['GET', 'POST'] },
      cors: { origins: ['*'], headers: ['x-a'], maxAge: '1m' },
      public: true,
    },
  ]);
  return { gateway, seen };
}

test('a preflight is answered before authentication, and the service does not see it', async (t) => {
  const { gateway, seen } = await startShop(t);
  const answer = await ask(`${gateway.url}/cors/a`, { method: 'OPTIONS', headers: preflight });
  assert.equal(answer.status, 204);
  assert.equal(answer.headers['access-control-allow-origin'], app);
  assert.equal(answer.headers['access-control-allow-credentials'], 'true');
  assert.match(String(answer.headers['access-control-allow-methods']), /PUT/);
  assert.equal(answer.headers['access-control-allow-headers'], 'x-a, x-b');
  assert.equal(answer.headers['access-control-max-age'], '600');
  assert.equal(answer.headers.vary, 'Origin, Access-Control-Request-Headers');
  const foreign = await ask(`${gateway.url}/cors/a`, {
    method: 'OPTIONS',
    headers: { ...preflight, origin: 'https://evil.example' },
  });
  assert.deepEqual([foreign.status, foreign.headers['access-control-allow-origin']], [204, undefined]);
  assert.match(String(foreign.headers.vary), /Origin/);
  assert.deepEqual(seen, []);
});

test('without a policy OPTIONS and the headers of the service pass as they are', async (t) => {
  const { gateway, seen } = await startShop(t);
  const answer = await ask(`${gateway.url}/plain/a`, { method: 'OPTIONS', headers: preflight });
  assert.equal(answer.headers['access-control-allow-origin'], 'https://other.example');
  assert.equal(answer.headers.vary, 'Accept');
  assert.deepEqual(seen, ['OPTIONS /plain/a']);
});

test('any origin is a star, which needs no Vary, and a method that the route lacks is refused readably', async (t) => {
  const { gateway } = await startShop(t, { policies: { cors: { origins: ['*'] } } });
  const answer = await ask(`${gateway.url}/open/a`, { headers: { origin: app } });
  assert.deepEqual([answer.headers['access-control-allow-origin'], answer.headers.vary], ['*', 'Accept']);
  const asked = { ...preflight, 'access-control-request-method': 'POST' };
  const allowed = await ask(`${gateway.url}/open/a`, { method: 'OPTIONS', headers: asked });
  assert.deepEqual(
    [
      allowed.headers['access-control-allow-methods'],
      allowed.headers['access-control-allow-headers'],
      allowed.headers['access-control-max-age'],
    ],
    ['GET, POST', 'x-a', '60'],
  );
  const refused = await ask(`${gateway.url}/open/a`, { method: 'OPTIONS', headers: preflight });
  assert.deepEqual([refused.status, refused.headers['access-control-allow-origin']], [405, '*']);
});

test('every answer names its origin, also errors, 304 and what is kept: never that of another page', async (t) => {
  const { gateway, seen } = await startShop(t);
  const get = (origin: string | undefined, more: Record<string, string> = {}) =>
    ask(`${gateway.url}/cors/a`, { headers: { 'x-api-key': 'key', ...(origin && { origin }), ...more } });
  const origins = [app, 'https://eu.shop.example', 'https://evil.example', 'https://shop.example', 'null', undefined];
  const allowed: unknown[] = [];
  for (const origin of origins) {
    const answer = await get(origin);
    assert.equal(answer.status, 200);
    assert.match(String(answer.headers.vary), /Origin/);
    allowed.push(answer.headers['access-control-allow-origin']);
    assert.equal(answer.headers['access-control-expose-headers'], allowed.at(-1) === undefined ? undefined : 'etag');
  }
  assert.deepEqual(allowed, [app, 'https://eu.shop.example', undefined, undefined, undefined, undefined]);
  assert.equal(seen.length, 1, 'the others came from the cache');
  const unchanged = await get(app, { 'if-none-match': '"1"' });
  assert.deepEqual([unchanged.status, unchanged.headers['access-control-allow-origin']], [304, app]);
  assert.match(String(unchanged.headers.vary), /Origin/);
  const refused = await ask(`${gateway.url}/cors/a`, { headers: { origin: app } });
  assert.deepEqual([refused.status, refused.headers['access-control-allow-origin']], [401, app]);
  assert.match(String(refused.headers.vary), /Origin/);
});

test('the GraphQL door has no CORS unless it is set, and then also for its errors', async (t) => {
  const closed = await startGateway(t, {});
  const options = { method: 'OPTIONS', headers: { ...preflight, 'access-control-request-method': 'POST' } };
  assert.equal((await ask(`${closed.url}/graphql`, options)).status, 405);
  const gateway = await startGateway(t, { graphql: { cors: { origins: [app], privateNetwork: true } } });
  const asked = { ...options, headers: { ...options.headers, 'access-control-request-private-network': 'true' } };
  const answer = await ask(`${gateway.url}/graphql`, asked);
  assert.deepEqual(
    ['origin', 'methods', 'private-network'].map((name) => answer.headers[`access-control-allow-${name}`]),
    [app, 'GET, POST', 'true'],
  );
  const wrong = await ask(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: { origin: app, 'content-type': 'application/json' },
    body: '{"query":"{"}',
  });
  assert.deepEqual([wrong.status, wrong.headers['access-control-allow-origin']], [200, app]);
});

test('mistakes of CORS are found when it is configured', async (t) => {
  await assert.rejects(
    async () => startGateway(t, { policies: { cors: { origins: ['*'], credentials: true } } }),
    /name the origins|mistake/,
  );
  await assert.rejects(async () => startGateway(t, { graphql: { cors: { origins: ['https://*.com'] } } }), /mistake/);
  const gateway = await startGateway(t);
  const refused = await gateway.admin('PUT', '/services/a', {
    routes: [{ match: { path: '/a' }, cors: { origins: ['*'], credentials: true } }],
  });
  assert.deepEqual([refused.status, refused.body.reasons?.[0]?.path], [400, '/routes/0/cors/credentials']);
});

test('a browser lets the pages of the policy read answers, and no others', { skip: chromiumSkipReason }, async (t) => {
  const pages = createServer((_, response) => response.end('<!doctype html><title>page</title>')).listen(
    0,
    '127.0.0.1',
  );
  await once(pages, 'listening');
  t.after(() => pages.close().closeAllConnections());
  const { port } = pages.address() as AddressInfo;
  const gateway = await startGateway(t, {
    graphql: { cors: { origins: [`http://localhost:${port}`], credentials: true } },
  });
  const service = await startPlainGraphql(t, 'type Query { hello: String }', { Query: { hello: () => 'hi' } });
  await registerGraphql(gateway, 'plain', service.url);
  const browser = await startBrowser(t);
  const read = async (origin: string): Promise<string> => {
    const page = await browser.newPage();
    await page.goto(origin);
    return page.evaluate(async (url) => {
      try {
        const headers = { 'content-type': 'application/json', 'x-own': '1' };
        const response = await fetch(url, {
          method: 'POST',
          credentials: 'include',
          headers,
          body: '{"query":"{ hello }"}',
        });
        return await response.text();
      } catch (error) {
        return String(error);
      }
    }, `${gateway.url}/graphql`);
  };
  assert.equal(await read(`http://localhost:${port}`), '{"data":{"hello":"hi"}}');
  assert.match(await read(`http://127.0.0.1:${port}`), /Failed to fetch/);
});
