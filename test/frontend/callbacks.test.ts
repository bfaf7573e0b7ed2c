import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { startServer } from '../support/subgraph.ts';

const target =
  '/login/callback/idp?code=SECRET%2Bcode%3d1&state=SECRET-state&x=%7Ea+b&access_token=SECRET-token&token=SECRET-t';
const location = 'https://app.example/after?ticket=%7Ex&next=/a%2Fb';
const cookies = ['sid=SECRET-sid; Path=/login; HttpOnly; SameSite=None', 'old=; Max-Age=0; Domain=login.example'];

async function startLogin(t: TestContext) {
  const seen: string[] = [];
  const service = await startServer(t, (asked, response) => {
    seen.push(asked.url ?? '');
    if (asked.url?.includes('broken')) return response.destroy();
    response.writeHead(302, { location, 'set-cookie': cookies, 'cache-control': 'max-age=60', 'x-other': 'a' }).end();
  });
  const gateway = await startGateway(t, {
    policies: {
      cookies: { secure: true, sameSite: 'lax' },
      securityHeaders: { preset: 'recommended', override: true },
      headers: {
        response: [
          { set: 'location', value: 'https://elsewhere.example' },
          { set: 'x-other', value: 'b' },
        ],
      },
    },
    services: {
      login: {
        cache: { ttl: '1m' },
        instances: [{ url: service.url }],
        routes: [{ match: { path: '/login/callback/*' }, callback: true }],
      },
    },
  } as never);
  return { ...gateway, seen };
}

function ask(url: string, path: string) {
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]> }>((resolve, reject) => {
    const asking = request(url, { path, headers: { referer: `${url}${path}` } }, (response) => {
      response.resume();
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
    });
    asking.on('error', reject).end();
  });
}

describe('callback paths of logins', () => {
  it('are forwarded byte for byte, and their answer comes back as it is, every time', async (t) => {
    const { url, seen } = await startLogin(t);
    for (let turn = 1; turn <= 2; turn++) {
      const { status, headers } = await ask(url, target);
      assert.equal(status, 302);
      assert.equal(headers['location'], location);
      assert.deepEqual(headers['set-cookie'], cookies);
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.equal(headers['cache-control'], 'no-store');
      assert.equal(headers['x-other'], 'b');
    }
    assert.deepEqual(seen, [target, target]);
  });

  it('leave nothing of their query in logs, metrics and errors', async (t) => {
    const { url, admin, lines } = await startLogin(t);
    assert.equal((await ask(url, target)).status, 302);
    assert.equal((await ask(url, `${target}&broken=1`)).status, 502);
    assert.equal((await ask(url, `/login/other?code=SECRET`)).status, 404);
    assert.equal((await ask(url, `/login//other?code=SECRET`)).status, 400);
    const { body } = await admin('GET', '/metrics');
    assert.ok(lines.some(({ path }) => path === '/login/callback/idp'));
    assert.doesNotMatch(JSON.stringify(lines) + body, /SECRET/);
  });

  it('cannot be rewritten or kept', async (t) => {
    const { admin } = await startGateway(t, {});
    const route = { match: { path: '/cb/*' }, callback: true, rewrite: '/other/*', cache: {} };
    const { status, body } = await admin('PUT', '/services/login', { routes: [route] });
    assert.equal(status, 400);
    assert.match(JSON.stringify(body), /it has no `rewrite`.*it has no `cache`/);
  });

  it('cannot be split, mirrored, retired, transformed or validated', async (t) => {
    const { admin } = await startGateway(t, {});
    const options = {
      split: {
        variants: [
          { name: 'a', version: '1.x', weight: 1 },
          { name: 'b', version: '2.x', weight: 1 },
        ],
      },
      mirror: { version: '2.x' },
      retire: { deprecated: '2026-01-01T00:00:00Z' },
      transform: { request: { drop: ['/a'] } },
      validate: { query: { type: 'object' } },
    };
    for (const [name, value] of Object.entries(options)) {
      const route = { match: { path: '/cb/*' }, callback: true, [name]: value };
      const { status, body } = await admin('PUT', '/services/login', { routes: [route] });
      assert.equal(status, 400, name);
      assert.match(JSON.stringify(body), new RegExp(`it has no \`${name}\``));
    }
  });

  it('pass as they are whatever a policy says of all routes of their service', async (t) => {
    const seen: string[] = [];
    const service = await startServer(t, (asked, response) => {
      seen.push(asked.url ?? '');
      response.writeHead(200, { 'content-type': 'text/html' }).end('page '.repeat(1_000));
    });
    const { url } = await startGateway(t, {
      policies: {
        compression: {},
        named: {
          strict: {
            bind: { services: ['login'] },
            validate: { query: { type: 'object', required: ['never'] } },
          },
          old: {
            bind: { routes: [{ service: 'login', path: '/cb' }] },
            retire: { deprecated: '2026-01-01T00:00:00Z' },
          },
        },
      },
      services: {
        login: {
          instances: [{ url: service.url }],
          routes: [{ match: { path: '/cb' }, callback: true }, { match: { path: '/other' } }],
        },
      },
    } as never);
    const response = await fetch(`${url}/cb?code=a`, { headers: { 'accept-encoding': 'gzip' } });
    assert.deepEqual([response.status, response.headers.get('deprecation')], [200, null]);
    assert.equal(response.headers.get('content-encoding'), null);
    assert.equal((await fetch(`${url}/other`)).status, 422);
    assert.deepEqual(seen, ['/cb?code=a']);
  });
});
