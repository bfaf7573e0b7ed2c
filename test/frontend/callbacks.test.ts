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
});
