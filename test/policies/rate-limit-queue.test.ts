import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRateLimiter } from '../../policies/rate-limit.ts';
import type { RateLimitDecision } from '../../policies/rate-limit-decision.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import { compileRules } from '../../policies/rate-limit-rule.ts';
import { createDeparture } from '../support/request-context.ts';

const concurrency = { name: 'at-once', algorithm: 'concurrency', limit: 1, key: 'ip' } as const;

function createFixture(queue: { size: number; timeout: string }) {
  const heard: string[] = [];
  const limiter = createRateLimiter({
    local: createMemoryRateLimitStore(),
    onDecision: (_, outcome) => heard.push(outcome),
  });
  const rules = compileRules([{ ...concurrency, queue }]);
  const ask = (departure = createDeparture()) =>
    Promise.resolve(limiter.check(rules, { viewer: null, address: '192.0.2.1', headers: {}, departure }));
  return { ask, heard, limiter, rules };
}

describe('a queue before a limit', () => {
  it('lets those who wait through in the order in which they came', async () => {
    const { ask, heard } = createFixture({ size: 10, timeout: '60s' });
    const order: number[] = [];
    const hold = await ask();
    const waiting = [1, 2, 3].map(async (number) => {
      const decision = await ask();
      order.push(number);
      decision.release?.();
      return decision.allowed;
    });
    hold.release?.();
    assert.deepEqual(await Promise.all(waiting), [true, true, true]);
    assert.deepEqual(order, [1, 2, 3]);
    assert.deepEqual(heard, ['allowed', 'queued', 'queued', 'queued', 'allowed', 'allowed', 'allowed']);
  });

  it('refuses at once whoever finds it full', async () => {
    const { ask } = createFixture({ size: 1, timeout: '60s' });
    const hold = await ask();
    const waits = ask();
    const refused = await ask();
    assert.equal(refused.error?.code, 'RATE_LIMIT_EXCEEDED');
    hold.release?.();
    assert.equal((await waits).allowed, true);
  });

  it('refuses whoever waited too long, and goes on with the next', async () => {
    const { ask } = createFixture({ size: 10, timeout: '20ms' });
    const hold = await ask();
    const [first, second] = await Promise.all([ask(), ask()]);
    assert.deepEqual([first?.allowed, second?.allowed], [false, false]);
    hold.release?.();
    assert.equal((await ask()).allowed, true);
  });

  it('forgets whoever left, at its head or further back', async () => {
    const { ask } = createFixture({ size: 3, timeout: '60s' });
    const hold = await ask();
    const [head, middle] = [createDeparture(), createDeparture()];
    const gone: Promise<RateLimitDecision>[] = [ask(head), ask(middle)];
    const stays = ask();
    middle.leave();
    head.leave();
    assert.deepEqual(
      (await Promise.all(gone)).map(({ allowed }) => allowed),
      [false, false],
    );
    hold.release?.();
    const decision = await stays;
    assert.equal(decision.allowed, true);
    decision.release?.();
    assert.equal((await ask()).allowed, true, 'nobody holds a slot who has left');
  });

  it('waits for a pace as well as for slots', async () => {
    const limiter = createRateLimiter({ local: createMemoryRateLimitStore() });
    const rules = compileRules([
      { name: 'pace', limit: 100, window: '1s', burst: 1, key: 'ip', queue: { size: 10, timeout: '60s' } },
    ]);
    const ask = async () => await limiter.check(rules, { viewer: null, address: '192.0.2.1', headers: {} });
    const decisions = await Promise.all([ask(), ask(), ask()]);
    assert.deepEqual(
      decisions.map(({ allowed }) => allowed),
      [true, true, true],
    );
  });

  it('gives a slot back that was taken before another rule refused', async () => {
    const limiter = createRateLimiter({ local: createMemoryRateLimitStore() });
    const rules = compileRules([concurrency, { name: 'few', limit: 1, window: '1h', key: 'ip' }]);
    const ask = async () => await limiter.check(rules, { viewer: null, address: '192.0.2.1', headers: {} });
    (await ask()).release?.();
    assert.deepEqual([(await ask()).tightest?.rule, (await ask()).tightest?.rule], ['few', 'few']);
  });
});
