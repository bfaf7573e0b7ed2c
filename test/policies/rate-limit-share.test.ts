import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GcraRule, RateLimitStore, WindowRule } from '../../policies/rate-limit-count.ts';
import { createMemoryRateLimitStore } from '../../policies/rate-limit-memory.ts';
import { createLocalShares } from '../../policies/rate-limit-share.ts';

/** Several processes over one store that is asked by messages. */
function createFixture(processes: number) {
  const clock = { nowMs: 0 };
  const shared = createMemoryRateLimitStore({ now: () => clock.nowMs });
  let asked = 0;
  const remote: RateLimitStore = {
    async take(key, rule, cost) {
      asked++;
      await new Promise(setImmediate);
      return shared.take(key, rule, cost);
    },
    async charge(key, rule, cost) {
      asked++;
      return shared.charge(key, rule, cost);
    },
    close() {},
  };
  const stores = Array.from({ length: processes }, () => createLocalShares(remote, () => clock.nowMs));
  return { clock, stores, questions: () => asked };
}

const share = { units: 50, keepMs: 1_000 };
const hourly: GcraRule = { emissionUs: 3_600_000, burst: 1_000, share };
const fixed: WindowRule = { algorithm: 'fixed-window', limit: 1_000, windowMs: 3_600_000, share };

describe('local shares of a count', () => {
  for (const rule of [hourly, fixed]) {
    it(`let never more than the limit pass, and at most their sum less (${rule.algorithm ?? 'gcra'})`, async () => {
      const { stores, questions } = createFixture(3);
      const ask = async (i: number) => await stores[i % 3]?.take('key', rule, 1);
      const results = await Promise.all(Array.from({ length: 10_000 }, (_, i) => ask(i)));
      const passed = results.filter((result) => result?.allowed).length;
      assert.ok(passed <= 1_000 && passed >= 1_000 - 3 * share.units, `${passed}`);
      assert.ok(questions() < 200, `${questions()} questions`);
    });
  }

  it('are not taken for a key that is asked for now and then', async () => {
    const { stores, clock, questions } = createFixture(1);
    for (let i = 0; i < 20; i++) {
      await stores[0]?.take('key', hourly, 1);
      clock.nowMs += 5_000;
    }
    assert.equal(questions(), 20);
  });

  it('are lost when they are not spent in time', async () => {
    const { stores, clock } = createFixture(1);
    const [store] = stores;
    await store?.take('key', fixed, 1);
    assert.equal((await store?.take('key', fixed, 1))?.remaining, 998);
    clock.nowMs += 1_500;
    assert.equal((await store?.take('key', fixed, 1))?.remaining, 1_000 - 51 - 1);
  });

  it('repeat a refusal without a question until more may pass, and not longer', async () => {
    const { stores, clock, questions } = createFixture(1);
    const [store] = stores;
    const rule: GcraRule = { emissionUs: 100_000, burst: 10, share: { units: 2, keepMs: 1_000 } };
    await Promise.all(Array.from({ length: 20 }, async () => await store?.take('key', rule, 1)));
    const before = questions();
    for (let i = 0; i < 100; i++) assert.equal((await store?.take('key', rule, 1))?.allowed, false);
    assert.equal(questions(), before);
    clock.nowMs += 100;
    assert.equal((await store?.take('key', rule, 1))?.allowed, true);
  });

  it('pay what is charged, and ask for the rest of it', async () => {
    const { stores, questions } = createFixture(1);
    const [store] = stores;
    await store?.take('key', fixed, 1);
    await store?.take('key', fixed, 1);
    const before = questions();
    assert.equal((await store?.charge('key', fixed, 40))?.remaining, 949 + 9);
    assert.equal(questions(), before, 'of the 50 that were taken');
    assert.equal((await store?.charge('key', fixed, 100))?.remaining, 949 - 91);
    await store?.charge('key', fixed, 5_000);
    assert.equal((await store?.take('key', fixed, 1))?.allowed, false);
  });

  it('do not hide that the store fails', async () => {
    const fail = () => Promise.reject(new Error('gone'));
    const failing: RateLimitStore = { take: fail, charge: fail, close() {} };
    const store = createLocalShares(failing);
    const asked = Array.from({ length: 3 }, async () => await store.take('key', hourly, 1));
    const settled = await Promise.allSettled(asked);
    assert.deepEqual(
      settled.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
  });
});
