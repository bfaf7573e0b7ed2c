import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createMemoryCache } from '../../policies/cache-memory.ts';
import { createRedisCache } from '../../policies/cache-redis.ts';
import type { CacheStore } from '../../policies/cache-store.ts';
import { rateLimitConnection } from '../../policies/rate-limit-redis.ts';
import { connectRedis } from '../../subgraphs/redis-connection.ts';
import { redisControlSkipReason, redisSkipReason, startRedis, type TestRedis } from '../support/redis.ts';

const entry = (text: string) => ({ meta: { of: text }, body: Buffer.from(text) });
const long = { ttlMs: 60_000, tags: [] as string[] };

/** What every store does. */
function describeStore(name: string, skip: string | false, open: () => CacheStore | Promise<CacheStore>): void {
  describe(`the cache store in ${name}`, { skip }, () => {
    async function read(store: CacheStore, key: string): Promise<string | null> {
      return (await store.get(key)).entry?.body.toString() ?? null;
    }

    it('gives back what it keeps, byte by byte, until that expires', async () => {
      const store = await open();
      const body = Buffer.from([0, 255, 10, 13, 128]);
      const { epoch } = await store.get('a');
      assert.equal(await store.set('a', { meta: { x: [1] }, body }, { ...long, epoch }), true);
      const { entry: found } = await store.get('a');
      assert.deepEqual([found?.meta, Buffer.compare(found?.body ?? Buffer.alloc(0), body)], [{ x: [1] }, 0]);
      await store.set('b', entry('b'), { ttlMs: 20, tags: [], epoch });
      await pause(60);
      assert.equal(await read(store, 'b'), null);
      await store.delete('a');
      assert.equal(await read(store, 'a'), null);
      store.close();
    });

    it('drops by tags, and all', async () => {
      const store = await open();
      const { epoch } = await store.get('a');
      for (const [key, tags] of Object.entries({ a: ['x', 'y'], b: ['y'], c: ['z'] }))
        await store.set(key, entry(key), { ttlMs: 60_000, tags, epoch });
      assert.equal(await store.invalidate(['y', 'unknown']), 2);
      assert.deepEqual([await read(store, 'a'), await read(store, 'b'), await read(store, 'c')], [null, null, 'c']);
      await store.clear();
      assert.equal(await read(store, 'c'), null);
      store.close();
    });

    it('does not keep what was begun before its tag was dropped, or everything', async () => {
      const store = await open();
      const { epoch } = await store.get('a');
      await store.invalidate(['x']);
      assert.equal(await store.set('a', entry('old'), { ttlMs: 60_000, tags: ['x'], epoch }), false);
      assert.equal(await store.set('b', entry('other'), { ttlMs: 60_000, tags: ['y'], epoch }), true);
      const later = (await store.get('a')).epoch;
      assert.equal(await store.set('a', entry('new'), { ttlMs: 60_000, tags: ['x'], epoch: later }), true);
      assert.equal(await read(store, 'a'), 'new');
      await store.clear();
      assert.equal(await store.set('a', entry('old'), { ...long, epoch: later }), false);
      assert.equal(await read(store, 'a'), null);
      store.close();
    });
  });
}

let redis: TestRedis | undefined;
let number = 0;
before(async () => {
  if (redisSkipReason === false) redis = await startRedis();
});
after(() => redis?.[Symbol.asyncDispose]());

async function openRedis(): Promise<CacheStore> {
  const connection = connectRedis({ url: redis?.url ?? '' }, { ...rateLimitConnection, commandTimeout: 5_000 });
  await new Promise((resolve) => connection.once('ready', resolve));
  number += 1;
  const keyPrefix = `test-${process.pid}-${number}:`;
  // A busy machine may take its time; what is asked here is not how fast it is.
  const store = createRedisCache({ redis: connection, keyPrefix, answerTimeoutMs: 5_000 });
  return { ...store, close: () => connection.disconnect() };
}

describeStore('memory', false, () => createMemoryCache({ maxBytes: 1_000_000 }));
describeStore('Redis', redisSkipReason, openRedis);

describe('the cache store in memory, bounded', () => {
  it('lets the longest unused go, and never holds more than it may', async () => {
    let evicted = 0;
    const store = createMemoryCache({ maxBytes: 10_000, onEvict: () => (evicted += 1) });
    for (let i = 0; i < 100; i++) {
      store.set(`key ${i}`, entry('x'.repeat(1_000)), { ...long, epoch: 0, tags: [`tag ${i}`] });
      store.get('key 0');
      assert.ok(store.sizeBytes <= 10_000);
    }
    assert.notEqual((await store.get('key 0')).entry, null);
    assert.equal((await store.get('key 50')).entry, null);
    assert.ok(evicted > 90);
    assert.equal(store.set('large', entry('x'.repeat(20_000)), { ...long, epoch: 0 }), false);
    store.clear();
    assert.equal(store.sizeBytes, 0);
  });
});

it('a Redis that hangs is an empty cache, and costs its timeout once in a while', {
  skip: redisControlSkipReason,
}, async () => {
  await using own = await startRedis();
  const connection = connectRedis({ url: own.url }, { ...rateLimitConnection, commandTimeout: 2_000 });
  await new Promise((resolve) => connection.once('ready', resolve));
  const failures: unknown[] = [];
  const store = createRedisCache({ redis: connection, onFailure: (error) => failures.push(error) });
  own.pause();
  const found = await Promise.all(Array.from({ length: 50 }, () => store.get('a')));
  assert.ok(found.every(({ entry: kept, epoch }) => kept === null && epoch === -1));
  assert.equal(await store.set('a', entry('a'), { ...long, epoch: -1 }), false);
  await assert.rejects(async () => await store.invalidate(['x']));
  assert.equal(failures.length, 1);
  own.resume();
  connection.disconnect();
});
