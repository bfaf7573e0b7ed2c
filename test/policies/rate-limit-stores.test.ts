import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import {
  type ConcurrencyRule,
  type CountRule,
  type GcraRule,
  type RateLimitStore,
  type WindowRule,
  windowParts,
} from '../../policies/rate-limit-count.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore } from '../../policies/rate-limit-redis.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';

interface Fixture {
  readonly store: RateLimitStore;
  /** Lets time pass for one key. */
  advance(key: string, ms: number, rule?: CountRule): Promise<void>;
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
    async advance(key, ms, rule) {
      if (rule?.algorithm === 'fixed-window') {
        if ((await redis.pttl(keyPrefix + key)) <= ms) await redis.del(keyPrefix + key);
        return;
      }
      if (rule?.algorithm === 'sliding-window') return await moveParts(redis, keyPrefix + key, ms, rule.windowMs);
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

/** Whole parts: so the tests of sliding windows advance. */
async function moveParts(redis: Redis, key: string, ms: number, windowMs: number): Promise<void> {
  const parts = (ms / windowMs) * windowParts;
  const stored = await redis.hgetall(key);
  await redis.del(key);
  for (const [part, count] of Object.entries(stored)) await redis.hset(key, String(Number(part) - parts), count);
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

    it('lets exactly the limit pass in a fixed window, however many ask at once, and all again after it', async () => {
      const key = randomUUID();
      const rule: WindowRule = { algorithm: 'fixed-window', limit: 100, windowMs: 3_600_000 };
      const ask = () => fixture.store.take(key, rule, 1);
      const results = await Promise.all(Array.from({ length: 500 }, ask));
      assert.equal(results.filter(({ allowed }) => allowed).length, 100);
      const refused = await ask();
      assert.deepEqual([refused.allowed, refused.remaining], [false, 0]);
      assert.ok(refused.retryAfterMs > 3_500_000 && refused.retryAfterMs <= 3_600_000, `${refused.retryAfterMs}`);
      assert.equal((await fixture.store.take(randomUUID(), rule, 101)).allowed, false, 'a cost that never fits');
      await fixture.advance(key, 3_600_000, rule);
      assert.equal((await ask()).remaining, 99);
    });

    it('lets exactly the limit pass in a sliding window, however many ask at once', async () => {
      const key = randomUUID();
      const rule: WindowRule = { algorithm: 'sliding-window', limit: 100, windowMs: 3_600_000 };
      const results = await Promise.all(Array.from({ length: 500 }, async () => fixture.store.take(key, rule, 1)));
      assert.equal(results.filter(({ allowed }) => allowed).length, 100);
      assert.deepEqual(
        results
          .map(({ allowed, remaining }) => (allowed ? remaining : -1))
          .toSorted((a, b) => b - a)
          .slice(0, 100),
        Array.from({ length: 100 }, (_, i) => 99 - i),
      );
    });

    it('forgets what a sliding window counted after its length, at most a twentieth late, and says when', async () => {
      const key = randomUUID();
      const rule: WindowRule = { algorithm: 'sliding-window', limit: 3, windowMs: 3_600_000 };
      await fixture.store.take(key, rule, 2);
      await fixture.advance(key, 1_800_000, rule);
      assert.equal((await fixture.store.take(key, rule, 1)).remaining, 0);
      const refused = await fixture.store.take(key, rule, 1);
      assert.equal(refused.allowed, false);
      // The first two are forgotten half a window from now, or a part later.
      assert.ok(refused.retryAfterMs >= 1_799_000 && refused.retryAfterMs <= 1_980_000, `${refused.retryAfterMs}`);
      await fixture.advance(key, 1_980_000, rule);
      const after = await fixture.store.take(key, rule, 1);
      assert.deepEqual([after.allowed, after.remaining], [true, 1]);
      await fixture.advance(key, 7_200_000, rule);
      assert.equal((await fixture.store.take(key, rule, 1)).remaining, 2);
    });

    it('gives as many slots as the limit, and each again when it is released, once', async () => {
      const key = randomUUID();
      const rule: ConcurrencyRule = { algorithm: 'concurrency', limit: 10, leaseMs: 60_000 };
      const ask = async () => await fixture.store.take(key, rule, 1);
      const results = await Promise.all(Array.from({ length: 50 }, ask));
      const given = results.filter(({ allowed }) => allowed);
      assert.equal(given.length, 10);
      assert.deepEqual(
        results.filter(({ allowed }) => !allowed).map(({ remaining, release }) => [remaining, release]),
        Array.from({ length: 40 }, () => [0, undefined]),
      );
      given[0]?.release?.();
      given[0]?.release?.();
      assert.equal((await ask()).allowed, true);
      assert.equal((await ask()).allowed, false);
      for (const { release } of given) release?.();
      assert.equal((await ask()).remaining, 8);
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

describe('slots in Redis', { skip: redisSkipReason }, () => {
  it('of a gateway that died are free after their lease, and those of one that lives are not', async (t) => {
    const server = await startRedis();
    t.after(() => server[Symbol.asyncDispose]());
    const open = () => createRedisRateLimitStore({ url: server.url, answerTimeoutMs: 30_000 });
    const [dying, living] = [open(), open()];
    t.after(() => living.close());
    const rule: ConcurrencyRule = { algorithm: 'concurrency', limit: 2, leaseMs: 1_000 };
    const ask = async (store: RateLimitStore) => {
      for (;;) {
        const result = await Promise.resolve(store.take('key', rule, 1)).catch(() => sleep(10));
        if (result !== undefined) return result;
      }
    };
    assert.equal((await ask(dying)).allowed, true);
    const kept = await ask(living);
    assert.equal((await ask(living)).allowed, false);
    // As if it were killed: nothing is given back, nothing renewed.
    dying.close();
    for (;;) {
      const again = await ask(living);
      if (again.allowed) break;
      await sleep(50);
    }
    await sleep(1_500);
    assert.equal((await ask(living)).allowed, false, 'both are held by the living one, and renewed');
    kept.release?.();
    assert.equal((await ask(living)).allowed, true);
  });
});

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
