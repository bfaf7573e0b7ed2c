import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResetAllowance } from '../../gateway/reset-allowance.ts';

test('a burst of resets may be, then so many per second', () => {
  let nowMs = 0;
  const allowance = new ResetAllowance({ burst: 10, perSecond: 5, now: () => nowMs });
  const takeAll = (count: number) => Array.from({ length: count }, () => allowance.take()).filter(Boolean).length;
  assert.equal(takeAll(12), 10);
  nowMs += 2_000;
  assert.equal(takeAll(12), 8, 'what was too many counts as well');
  nowMs += 3_600_000;
  assert.equal(takeAll(12), 10, 'no more than a burst is saved up');
});
