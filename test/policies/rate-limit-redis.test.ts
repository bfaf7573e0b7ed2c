import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRateLimiter } from '../../policies/rate-limit.ts';
import type { RateLimitStore } from '../../policies/rate-limit-count.ts';
import type { RateLimitSubject } from '../../policies/rate-limit-key.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import { createRedisRateLimitStore } from '../../policies/rate-limit-redis.ts';
import { compileRules } from '../../policies/rate-limit-rule.ts';
import { redisControlSkipReason, redisSkipReason, startRedis, type TestRedis } from '../support/redis.ts';

const subject: RateLimitSubject = { viewer: null, address: '192.0.2.1', headers: {} };

/** A gateway's limiter: its own connection, and a count of how often the store was asked. */
function openLimiter(redis: Pick<TestRedis, 'url'>, answerTimeoutMs: number, now?: () => number) {
  const store = createRedisRateLimitStore({ url: redis.url, answerTimeoutMs });
  const counts = { asked: 0, failures: [] as unknown[] };
  const counting: RateLimitStore = {
    take(key, rule, cost) {
      counts.asked++;
      return store.take(key, rule, cost);
    },
    charge: (key, rule, cost) => store.charge(key, rule, cost),
    close: () => store.close(),
  };
  const limiter = createRateLimiter({
    shared: counting,
    local: createMemoryRateLimitStore(),
    onStoreFailure: (error) => counts.failures.push(error),
    now,
  });
  return { limiter, counts, store, [Symbol.dispose]: () => store.close() };
}

/** Waits until Redis itself answers, with a count of its own. */
async function untilAnswering(store: RateLimitStore): Promise<void> {
  for (;;) {
    try {
      await store.take(`ready-${randomUUID()}`, { emissionUs: 1, burst: 1 }, 1);
      return;
    } catch {
      await sleep(10);
    }
  }
}

function buildRules(onStoreError: 'local' | 'allow' | 'deny', limit = 100) {
  const name = `r-${randomUUID()}`;
  return compileRules([{ name, limit, window: '1h', key: 'ip', onStoreError }]);
}

describe('rate limits shared through Redis', { skip: redisSkipReason }, () => {
  it('let exactly the limit pass across two gateways', async () => {
    await using redis = await startRedis();
    using one = openLimiter(redis, 30_000);
    using two = openLimiter(redis, 30_000);
    await Promise.all([untilAnswering(one.store), untilAnswering(two.store)]);
    const rules = buildRules('deny');
    const asked = Array.from({ length: 1_000 }, (_, i) => (i % 2 ? one : two).limiter.check(rules, subject));
    const decisions = await Promise.all(asked);
    assert.equal(decisions.filter((decision) => decision.allowed).length, 100);
    assert.deepEqual([...one.counts.failures, ...two.counts.failures], []);
  });
});

describe('rate limits whose Redis hangs or dies', { skip: redisControlSkipReason }, () => {
  it('are decided by their rule after one attempt while Redis hangs', async () => {
    await using redis = await startRedis();
    using gateway = openLimiter(redis, 25);
    await untilAnswering(gateway.store);
    redis.pause();
    const allow = await gateway.limiter.check(buildRules('allow'), subject);
    assert.equal(gateway.counts.asked, 1);
    const deny = await gateway.limiter.check(buildRules('deny'), subject);
    const rules = buildRules('local', 3);
    const local = [];
    for (let i = 0; i < 5; i++) local.push((await gateway.limiter.check(rules, subject)).allowed);
    assert.equal(allow.allowed, true);
    assert.equal(deny.error?.code, 'SERVICE_UNAVAILABLE');
    assert.deepEqual(local, [true, true, true, false, false]);
    assert.ok(gateway.counts.failures.length >= 1);
  });

  it('cost one request the timeout, however many come while Redis hangs', async () => {
    await using redis = await startRedis();
    const pauseThatNeverEnds = () => 0;
    using gateway = openLimiter(redis, 25, pauseThatNeverEnds);
    await untilAnswering(gateway.store);
    redis.pause();
    const rules = buildRules('allow');
    for (let i = 0; i < 1_000; i++) await gateway.limiter.check(rules, subject);
    assert.equal(gateway.counts.asked, 1);
  });

  it('are counted by Redis again when it goes on', async () => {
    await using redis = await startRedis();
    using gateway = openLimiter(redis, 25);
    await untilAnswering(gateway.store);
    redis.pause();
    await assert.rejects(async () => gateway.store.take('key', { emissionUs: 1_000, burst: 1 }, 1), {
      message: 'Redis cannot be asked',
    });
    redis.resume();
    await untilAnswering(gateway.store);
  });

  it('survive that Redis is killed and comes back without its script', async () => {
    await using redis = await startRedis();
    using gateway = openLimiter(redis, 1_000);
    await untilAnswering(gateway.store);
    await redis.stop();
    const decision = await gateway.limiter.check(buildRules('deny'), subject);
    assert.equal(decision.error?.code, 'SERVICE_UNAVAILABLE');
    const [failure] = gateway.counts.failures;
    assert.ok(failure instanceof Error && failure.cause instanceof Error);
    await redis.start();
    await untilAnswering(gateway.store);
    const rule = { emissionUs: 3_600_000_000, burst: 1 };
    assert.equal((await gateway.store.take('again', rule, 1)).allowed, true);
    assert.equal((await gateway.store.take('again', rule, 1)).allowed, false);
  });

  it('are decided while no Redis was ever there', async () => {
    using gateway = openLimiter({ url: 'redis://127.0.0.1:1' }, 25);
    const rules = buildRules('local', 1);
    const first = await gateway.limiter.check(rules, subject);
    const second = await gateway.limiter.check(rules, subject);
    assert.deepEqual([first.allowed, second.allowed], [true, false]);
  });
});
