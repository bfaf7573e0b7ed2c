import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import type { GcraRule, RateLimitStore } from '../../policies/rate-limit.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore } from '../../policies/rate-limit-redis.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';

interface Fixture {
  readonly store: RateLimitStore;
  /** Lets time pass for one key. */
  advance(key: string, ms: number): Promise<void>;
  close(): Promise<void>;
}

const hourUs = 3_600_000_000;
const hundredPerHour: GcraRule = { emissionUs: hourUs / 100, burst: 100 };

async function openMemory(): Promise<Fixture> {
  let nowMs = 1_000;
  const store = createMemoryRateLimitStore({ now: () => nowMs });
  return {
    store,
    async advance(_key, ms) {
      nowMs += ms;
    },
    async close() {
      store.close();
    },
  };
}

async function openRedis(): Promise<Fixture> {
  const server = await startRedis();
  const redis = new Redis(server.url, { enableAutoPipelining: true });
  const keyPrefix = `test:${randomUUID()}:`;
  const store = createRedisRateLimitStore({ redis, keyPrefix, answerTimeoutMs: 30_000 });
  return {
    store,
    // The clock is Redis' own; moving the arrival time back comes to the same.
    async advance(key, ms) {
      const arrivalUs = Number(await redis.get(keyPrefix + key));
      await redis.set(keyPrefix + key, (arrivalUs - ms * 1_000).toFixed(2), 'KEEPTTL');
    },
    async close() {
      store.close();
      redis.disconnect();
      await server[Symbol.asyncDispose]();
    },
  };
}

function describeStore(name: string, open: () => Promise<Fixture>, skip: string | false): void {
  describe(`a rate limit store ${name}`, { skip }, () => {
    let fixture: Fixture;
    before(async () => {
      fixture = await open();
    });
    after(() => fixture.close());

    it('lets exactly the burst pass, however many ask at once', async () => {
      const key = randomUUID();
      const asked = Array.from({ length: 1_000 }, async () => fixture.store.take(key, hundredPerHour, 1));
      const results = await Promise.all(asked);
      assert.equal(results.filter((result) => result.allowed).length, 100);
    });

    it('lets exactly the burst pass where the interval is no whole number of microseconds', async () => {
      const key = randomUUID();
      const rule = { emissionUs: 71_428_571.5, burst: 14 };
      const results = await Promise.all(Array.from({ length: 20 }, async () => fixture.store.take(key, rule, 1)));
      assert.equal(results.filter((result) => result.allowed).length, 14);
    });

    it('counts down what remains', async () => {
      const key = randomUUID();
      const first = await fixture.store.take(key, hundredPerHour, 1);
      const second = await fixture.store.take(key, hundredPerHour, 1);
      assert.deepEqual([first.allowed, first.remaining, first.retryAfterMs], [true, 99, 0]);
      assert.equal(second.remaining, 98);
      assert.ok(first.resetMs <= 36_000 && first.resetMs > 35_000, `${first.resetMs}`);
    });

    it('tells after the last request that passes when the next one will', async () => {
      const key = randomUUID();
      const result = await fixture.store.take(key, { emissionUs: 60_000_000, burst: 1 }, 1);
      assert.deepEqual([result.allowed, result.remaining, result.resetMs], [true, 0, 60_000]);
      assert.equal(result.retryAfterMs, 60_000);
    });

    it('refuses with nothing left and the time of the next request', async () => {
      const key = randomUUID();
      const rule = { emissionUs: 60_000_000, burst: 2 };
      await fixture.store.take(key, rule, 2);
      const refused = await fixture.store.take(key, rule, 1);
      assert.deepEqual([refused.allowed, refused.remaining], [false, 0]);
      assert.ok(refused.retryAfterMs > 59_000 && refused.retryAfterMs <= 60_000, `${refused.retryAfterMs}`);
      assert.ok(refused.resetMs > 119_000 && refused.resetMs <= 120_000, `${refused.resetMs}`);
    });

    it('does not count what it refuses', async () => {
      const key = randomUUID();
      const rule = { emissionUs: 60_000_000, burst: 1 };
      await fixture.store.take(key, rule, 1);
      for (let i = 0; i < 50; i++) assert.equal((await fixture.store.take(key, rule, 1)).allowed, false);
      await fixture.advance(key, 60_000);
      assert.equal((await fixture.store.take(key, rule, 1)).allowed, true);
    });

    it('gives one request back per interval, and never more than the burst', async () => {
      const key = randomUUID();
      const rule = { emissionUs: 60_000_000, burst: 3 };
      await fixture.store.take(key, rule, 3);
      await fixture.advance(key, 120_000);
      assert.equal((await fixture.store.take(key, rule, 1)).remaining, 1);
      await fixture.advance(key, 86_400_000);
      assert.equal((await fixture.store.take(key, rule, 1)).remaining, 2);
    });

    it('charges the cost, and refuses a cost that does not fit whole', async () => {
      const key = randomUUID();
      const rule = { emissionUs: 60_000_000, burst: 10 };
      assert.equal((await fixture.store.take(key, rule, 7)).remaining, 3);
      const refused = await fixture.store.take(key, rule, 5);
      assert.deepEqual([refused.allowed, refused.remaining], [false, 3]);
      assert.ok(refused.retryAfterMs > 119_000 && refused.retryAfterMs <= 120_000, `${refused.retryAfterMs}`);
      assert.equal((await fixture.store.take(key, rule, 3)).allowed, true);
    });

    it('counts each key on its own', async () => {
      const rule = { emissionUs: hourUs, burst: 1 };
      assert.equal((await fixture.store.take(randomUUID(), rule, 1)).allowed, true);
      assert.equal((await fixture.store.take(randomUUID(), rule, 1)).allowed, true);
    });

    it('is not locked for longer than a full burst by a count that lies in the future', async () => {
      const key = randomUUID();
      const rule = { emissionUs: 60_000_000, burst: 2 };
      await fixture.store.take(key, rule, 1);
      await fixture.advance(key, -86_400_000);
      const refused = await fixture.store.take(key, rule, 1);
      assert.ok(refused.resetMs <= 120_000, `${refused.resetMs}`);
    });
  });
}

describeStore('in memory', openMemory, false);
describeStore('in Redis', openRedis, redisSkipReason);

describe('the memory store', () => {
  it('forgets expired keys before others', () => {
    let nowMs = 0;
    const store = createMemoryRateLimitStore({ now: () => nowMs, maxKeys: 100 });
    const long = { emissionUs: hourUs, burst: 1 };
    store.take('long', long, 1);
    for (let i = 0; i < 10_000; i++) {
      nowMs += 10;
      store.take(`short-${i}`, { emissionUs: 1_000, burst: 1 }, 1);
    }
    assert.ok(store.size <= 100);
    assert.equal(store.take('long', long, 1).allowed, false);
  });

  it('forgets who was quiet for longest when none has expired, and never who hammers the door', () => {
    const store = createMemoryRateLimitStore({ now: () => 0, maxKeys: 100 });
    const rule = { emissionUs: hourUs, burst: 1 };
    store.take('hammering', rule, 1);
    store.take('quiet', rule, 1);
    for (let i = 0; i < 1_000; i++) {
      store.take(`new-${i}`, rule, 1);
      if (i % 10 === 0) assert.equal(store.take('hammering', rule, 1).allowed, false);
    }
    assert.equal(store.take('quiet', rule, 1).allowed, true);
  });

  it('stays within its bound when every request brings a new key', () => {
    const store = createMemoryRateLimitStore({ maxKeys: 1_000 });
    for (let i = 0; i < 20_000; i++) store.take(`key-${i}`, hundredPerHour, 1);
    assert.ok(store.size <= 1_000 && store.size >= 500, `${store.size}`);
  });
});
