import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { Redis } from 'ioredis';
import { createRateLimiter } from '../../policies/rate-limit.ts';
import { ByteMeter } from '../../policies/rate-limit-bytes.ts';
import type { RateLimitStore } from '../../policies/rate-limit-count.ts';
import type { RateLimitSubject } from '../../policies/rate-limit-key.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore } from '../../policies/rate-limit-redis.ts';
import { compileRules, findLimitMistakes, type RateLimitRule } from '../../policies/rate-limit-rule.ts';
import { redisSkipReason, startRedis } from '../support/redis.ts';

const subject: RateLimitSubject = { viewer: null, address: '192.0.2.1', headers: {} };

function countingOf(rule: Omit<RateLimitRule, 'name'>) {
  const [compiled] = compileRules([{ name: 'traffic', ...rule }]);
  assert.ok(compiled);
  return compiled.counting;
}

async function openRedis(t: TestContext): Promise<RateLimitStore> {
  const server = await startRedis();
  const redis = new Redis(server.url);
  t.after(async () => {
    redis.disconnect();
    await server[Symbol.asyncDispose]();
  });
  return createRedisRateLimitStore({ redis, keyPrefix: `test:${randomUUID()}:`, answerTimeoutMs: 30_000 });
}

const stores = [
  { name: 'in memory', open: () => createMemoryRateLimitStore(), skip: false },
  { name: 'in Redis', open: openRedis, skip: redisSkipReason },
] as const;

for (const { name, open, skip } of stores) {
  describe(`charges ${name}`, { skip }, () => {
    it('go beyond the limit, and nothing passes until the debt is paid', async (t) => {
      const store = await open(t);
      const traffic = countingOf({ limit: '1kb', window: '1h', count: 'bytes' });
      assert.equal((await store.take('gcra', traffic, 1)).allowed, true);
      assert.equal((await store.charge('gcra', traffic, 3 * 1_024 - 1)).remaining, 0);
      const refused = await store.take('gcra', traffic, 1);
      assert.deepEqual([refused.allowed, refused.remaining], [false, 0]);
      // Three hours' worth was taken at once; the first hour of it is the burst.
      assert.ok(refused.retryAfterMs > 7_190_000 && refused.retryAfterMs <= 7_205_000, `${refused.retryAfterMs}`);
    });

    for (const algorithm of ['fixed-window', 'sliding-window'] as const) {
      it(`fill a window beyond its limit, and the debt ends with it (${algorithm})`, async (t) => {
        const store = await open(t);
        const traffic = countingOf({ algorithm, limit: 1_000, window: '30d', count: 'bytes' });
        await store.charge(algorithm, traffic, 400);
        assert.equal((await store.take(algorithm, traffic, 1)).remaining, 599);
        assert.equal((await store.charge(algorithm, traffic, 10_000_000_000)).remaining, 0);
        const refused = await store.take(algorithm, traffic, 1);
        assert.deepEqual([refused.allowed, refused.remaining], [false, 0]);
        const days = refused.retryAfterMs / 86_400_000;
        assert.ok(days > 29.9 && days <= 31.5, `${days}`);
      });
    }

    it('of many at once are all counted', async (t) => {
      const store = await open(t);
      const traffic = countingOf({ limit: '10mb', window: '1d', count: 'bytes' });
      await Promise.all(Array.from({ length: 500 }, async () => await store.charge('many', traffic, 10_000)));
      const { remaining } = await store.take('many', traffic, 1);
      const expected = 10 * 1_048_576 - 5_000_000;
      assert.ok(Math.abs(remaining - expected) < 2_000, `${remaining} of ${expected}`);
    });

    for (const algorithm of ['gcra', 'fixed-window', 'sliding-window'] as const) {
      for (const window of ['1d', '30d', '366d']) {
        it(`quotas over ${window} are exact and not shorter (${algorithm})`, async (t) => {
          const store = await open(t);
          const quota = countingOf({ algorithm, limit: 50, window });
          const results = await Promise.all(Array.from({ length: 80 }, async () => await store.take('q', quota, 1)));
          assert.equal(results.filter(({ allowed }) => allowed).length, 50);
          const days = (await store.take('q', quota, 1)).resetMs / 86_400_000;
          const asked = Number.parseInt(window, 10);
          assert.ok(days > asked * 0.99 && days <= asked * 1.06, `${days} days`);
        });
      }
    }
  });
}

describe('a limit of bytes', () => {
  const rules = (count: 'bytes' | 'requestBytes' | 'responseBytes') =>
    compileRules([{ name: 'traffic', limit: 1_000, window: '1h', count }]);

  it('charges the bytes of the bodies that it counts, the one that was taken included', async () => {
    for (const [count, expected] of [
      ['bytes', 870],
      ['requestBytes', 970],
      ['responseBytes', 900],
    ] as const) {
      const limiter = createRateLimiter({ local: createMemoryRateLimitStore({ now: () => 0 }) });
      const decision = await limiter.check(rules(count), subject);
      const meter = new ByteMeter();
      for (const account of decision.accounts) meter.open(account, 10);
      meter.passRequest(20);
      meter.passResponse(100);
      meter.settle();
      meter.settle();
      const next = await limiter.check(rules(count), subject);
      assert.equal(next.tightest?.remaining, expected - 1, count);
    }
  });

  it('charges a long body before its end', async () => {
    const limiter = createRateLimiter({ local: createMemoryRateLimitStore({ now: () => 0 }) });
    const meter = new ByteMeter();
    for (const account of (await limiter.check(rules('bytes'), subject)).accounts) meter.open(account, 0);
    for (let i = 0; i < 5; i++) meter.passResponse(65_536);
    assert.equal((await limiter.check(rules('bytes'), subject)).allowed, false);
  });

  it('charges nothing of a request that is refused, and the bytes of a batch once', async () => {
    const limiter = createRateLimiter({ local: createMemoryRateLimitStore({ now: () => 0 }) });
    const meter = new ByteMeter();
    for (let operation = 0; operation < 3; operation++) {
      for (const account of (await limiter.check(rules('bytes'), subject)).accounts) meter.open(account, 500);
    }
    meter.settle();
    assert.equal((await limiter.check(rules('bytes'), subject)).tightest?.remaining, 1_000 - 2 - 500 - 1);
    meter.passResponse(2_000);
    meter.settle();
    const refused = await limiter.check(rules('bytes'), subject);
    assert.deepEqual([refused.allowed, refused.accounts], [false, []]);
  });

  it('tells in its header that it counts bytes', async () => {
    const limiter = createRateLimiter({ local: createMemoryRateLimitStore({ now: () => 0 }) });
    const { headers } = await limiter.check(rules('bytes'), subject);
    assert.equal(headers['ratelimit-policy'], '"traffic";q=1000;qu="content-bytes";w=3600');
    assert.match(headers['ratelimit'] ?? '', /^"traffic";r=999;t=\d+$/);
  });

  it('is charged in this process while the store is away', async () => {
    let isBroken = false;
    const memory = createMemoryRateLimitStore({ now: () => 0 });
    const guard = async <T>(work: () => T): Promise<T> => {
      if (isBroken) throw new Error('gone');
      return work();
    };
    const shared: RateLimitStore = {
      take: (key, rule, cost) => guard(() => memory.take(key, rule, cost)),
      charge: (key, rule, cost) => guard(() => memory.charge(key, rule, cost)),
      close() {},
    };
    const limiter = createRateLimiter({ shared, local: createMemoryRateLimitStore({ now: () => 0 }), now: () => 0 });
    const { accounts } = await limiter.check(rules('bytes'), subject);
    isBroken = true;
    for (const account of accounts) account.charge(5_000);
    await new Promise(setImmediate);
    assert.equal((await limiter.check(rules('bytes'), subject)).allowed, false);
  });

  it('is refused where it cannot be', () => {
    const mistakesOf = (rule: Partial<RateLimitRule>) =>
      findLimitMistakes({ name: 'traffic', limit: '1mb', window: '1m', count: 'bytes', ...rule }).map(
        ({ message }) => message,
      );
    assert.deepEqual(mistakesOf({}), []);
    assert.deepEqual(mistakesOf({ limit: '1gb', burst: '2gb', localShare: { share: '5%' } }), []);
    assert.equal(mistakesOf({ count: 'requests' }).length, 1);
    assert.equal(mistakesOf({ limit: '0.5b' }).length, 1);
    assert.equal(mistakesOf({ key: ['ip', 'field'] }).length, 1);
    assert.equal(mistakesOf({ queue: { size: 1, timeout: '1s' } }).length, 1);
  });
});
