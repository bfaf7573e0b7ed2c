import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { startServer } from '../support/subgraph.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

test('a team drops what its routes led elsewhere to, and nothing that another team keeps for its own', async (t) => {
  let asked = 0;
  const start = () =>
    startServer(t, (_, response) => {
      response.writeHead(200, { 'cache-control': 'max-age=60' }).end(String(++asked));
    });
  const [own, canary] = [await start(), await start()];
  const cache = {};
  const split = {
    variants: [
      { name: 'stable', weight: 0 },
      { name: 'canary', weight: 1, service: 'canary' },
    ],
  }; // prettier-ignore
  const gateway = await startGateway(t, {
    admin: {
      tokens: [
        { name: 'shop', sha256: sha256('token-of-shop'), role: 'team', services: ['shop'] },
        { name: 'canary', sha256: sha256('token-of-canary'), role: 'team', services: ['canary'] },
      ],
    },
    services: {
      shop: {
        instances: [{ url: own.url }],
        routes: [
          { match: { path: '/shop/*' }, rewrite: '/*', cache, split },
          {
            match: { path: '/old/*' },
            rewrite: '/*',
            cache,
            retire: { deprecated: '2020-01-01', replacement: { service: 'canary', rewrite: '/new/*', share: '100%' } },
          },
        ],
      },
      canary: {
        trafficFrom: ['shop'],
        fallbackFor: ['shop'],
        instances: [{ url: canary.url }],
        routes: [{ match: { path: '/canary/*' }, rewrite: '/*', cache }],
      },
    },
  });
  const read = async (path: string) => (await fetch(gateway.url + path)).text();
  const drop = async (team: string, body: object) => {
    const response = await fetch(`${gateway.adminUrl}/cache/invalidate`, {
      method: 'POST',
      headers: { authorization: `Bearer token-of-${team}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return [response.status, ((await response.json()) as { invalidated?: number }).invalidated];
  };
  const paths = ['/shop/a', '/canary/a', '/old/a'];
  const readAll = () => Promise.all(paths.map(read));
  const [shop, foreign, moved] = await readAll();
  assert.deepEqual(await readAll(), [shop, foreign, moved], 'all of it is kept');

  assert.deepEqual(await drop('shop', { paths: ['/shop/a'] }), [200, 1]);
  const [again, same, kept] = await readAll();
  assert.notEqual(again, shop);
  assert.deepEqual([same, kept], [foreign, moved]);
  assert.deepEqual(await drop('shop', { paths: ['/old/a'] }), [200, 1]);
  assert.notEqual((await readAll())[2], moved);

  // Whose service it is may drop all that is kept of it, whoever led there; others may not even name it.
  assert.deepEqual(await drop('shop', { services: ['canary'] }), [403, undefined]);
  assert.deepEqual(await drop('shop', { paths: [{ service: 'canary', path: '/a' }] }), [403, undefined]);
  assert.deepEqual(await drop('shop', { paths: ['/canary/a'] }), [403, undefined]);
  assert.deepEqual(await drop('canary', { paths: ['/shop/a'] }), [403, undefined]);
  await readAll();
  assert.deepEqual(await drop('canary', { services: ['canary'] }), [200, 3]);
});
