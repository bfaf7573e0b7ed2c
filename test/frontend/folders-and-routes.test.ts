import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway } from '../support/gateway.ts';
import { startJson } from './fixture.ts';

type Match = NonNullable<NonNullable<GatewayConfig['services']>[string]['routes']>[number]['match'];

/** A folder at `/*` with a file at every path that is asked, beside one route of a service. */
async function start(t: TestContext, match: Match, config: GatewayConfig = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'routes-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'data'));
  await writeFile(join(folder, 'data/list.json'), '"file"');
  const service = await startJson(t, () => 'service');
  const { url } = await startGateway(t, {
    ...config,
    static: [{ path: '/*', folder }],
    services: { shop: { instances: [{ url: service.url }], routes: [{ match }] } },
  });
  return async (path = '/data/list.json', init: RequestInit = {}) => {
    const response = await fetch(`${url}${path}`, init);
    const text = await response.text();
    return response.status === 200 && text !== '' ? JSON.parse(text) : response.status;
  };
}

describe('folders beside routes of services', () => {
  it('leave a path to a route whose header fits the request, and to no other', async (t) => {
    const ask = await start(t, { path: '/data/*', headers: { 'x-tenant': 'a' } });
    assert.equal(await ask('/data/list.json', { headers: { 'x-tenant': 'a' } }), 'service');
    assert.equal(await ask('/data/list.json', { headers: { 'x-tenant': 'b' } }), 'file');
    assert.equal(await ask(), 'file');
  });

  it('leave a path to a route whose query, cookie or network fits', async (t) => {
    const byQuery = await start(t, { path: '/data/*', query: { version: '2' } });
    assert.equal(await byQuery('/data/list.json?version=2'), 'service');
    assert.equal(await byQuery('/data/list.json?version=3'), 'file');
    const byCookie = await start(t, { path: '/data/*', cookies: { beta: 'on' } });
    assert.equal(await byCookie('/data/list.json', { headers: { cookie: 'beta=on' } }), 'service');
    assert.equal(await byCookie(), 'file');
    const byNetwork = await start(t, { path: '/data/*', networks: ['127.0.0.0/8', '::1/128'] });
    assert.equal(await byNetwork(), 'service');
  });

  it('never answer where claims decide, whoever asks', async (t) => {
    const ask = await start(t, { path: '/data/*', claims: { plan: 'gold' } });
    assert.equal(await ask(), 401);
  });

  it('never answer with another method than the route has', async (t) => {
    const ask = await start(t, { path: '/data/*', methods: ['POST'], headers: { 'x-tenant': 'a' } });
    assert.equal(await ask('/data/list.json', { headers: { 'x-tenant': 'a' } }), 405);
    assert.equal(await ask(), 'file');
  });

  it('never answer where the expression of a route cannot be tried', async (t) => {
    const ask = await start(t, { path: '/data/*', regex: '^/data/[a-z]+$' });
    assert.equal(await ask(), 'file');
    assert.equal(await ask(`/data/${'a'.repeat(5_000)}`), 414);
  });

  it('answer no preflight for a route whose query fits', async (t) => {
    const ask = await start(
      t,
      { path: '/data/*', query: { version: '2' } },
      { policies: { cors: { origins: ['*'] } } },
    );
    const headers = { origin: 'https://a.example', 'access-control-request-method': 'DELETE' };
    assert.equal(await ask('/data/list.json', { method: 'OPTIONS', headers }), 200);
    assert.equal(await ask('/data/list.json?version=2', { method: 'OPTIONS', headers }), 204);
  });
});
