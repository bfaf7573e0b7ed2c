import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/gateway.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';
import { registerRest } from '../support/registration.ts';
import { startServer } from '../support/subgraph.ts';

// Invariant 6: Redis gone: limits do what their rule says; nothing else changes.

const rule = (name: string, onStoreError: 'local' | 'allow' | 'deny') => ({
  name,
  limit: 3,
  window: '1h',
  key: 'ip',
  onStoreError,
});

for (const disaster of ['killed', 'hanging'] as const) {
  test(`with Redis ${disaster}, each rule does what it says and unlimited routes notice nothing`, {
    skip: redisSkipReason,
  }, async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    if (disaster === 'hanging' && redis.pause === undefined)
      return t.skip('REDIS_URL names a Redis that cannot be stopped');
    const gateway = await startGateway(t, { redis: redis.url });
    const service = await startServer(t, (_, response) => response.end('ok'));
    await registerRest(gateway, 'rest', service.url, [
      { match: { path: '/local' }, rateLimit: [rule('a', 'local')] },
      { match: { path: '/allow' }, rateLimit: [rule('b', 'allow')] },
      { match: { path: '/deny' }, rateLimit: [rule('c', 'deny')] },
      { match: { path: '/free' } },
    ]);
    const status = async (path: string) => (await fetch(gateway.url + path)).status;
    assert.deepEqual([await status('/local'), await status('/allow'), await status('/deny')], [200, 200, 200]);

    if (disaster === 'killed') await redis.stop();
    else await redis.pause?.();
    const six = async (path: string) => Promise.all(Array.from({ length: 6 }, () => status(path)));
    assert.equal((await six('/local')).filter((code) => code === 200).length, 3, 'this process counts for itself');
    assert.deepEqual(await six('/allow'), [200, 200, 200, 200, 200, 200]);
    assert.deepEqual(await six('/deny'), [503, 503, 503, 503, 503, 503]);
    assert.deepEqual(await six('/free'), [200, 200, 200, 200, 200, 200]);
    const denied = await fetch(`${gateway.url}/deny`);
    assert.ok(Number(denied.headers.get('retry-after')) >= 1);
    assert.equal((await denied.json()).code, 'SERVICE_UNAVAILABLE');
  });
}
