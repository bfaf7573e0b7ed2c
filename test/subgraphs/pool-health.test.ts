import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assessPool, isOpen, type PoolMember } from '../../subgraphs/pool-health.ts';

const well: PoolMember = { isWell: true, isReachable: true, isOutlier: false };
const failing: PoolMember = { isWell: false, isReachable: true, isOutlier: false };
const gone: PoolMember = { isWell: false, isReachable: false, isOutlier: false };
const outlier: PoolMember = { isWell: true, isReachable: true, isOutlier: true };

test('below the share of healthy instances there is panic, at the share there is not', () => {
  assert.deepEqual(assessPool([well, well, failing, failing], 0.5), { instances: 4, healthy: 2, panic: false });
  assert.deepEqual(assessPool([well, failing, failing, outlier], 0.5), { instances: 4, healthy: 1, panic: true });
});

test('in panic all that can be connected to get calls, otherwise only the healthy', () => {
  const members = [well, failing, gone, outlier];
  assert.deepEqual(
    members.map((member) => isOpen(member, true)),
    [true, true, false, true],
  );
  assert.deepEqual(
    members.map((member) => isOpen(member, false)),
    [true, false, false, false],
  );
});

test('where nobody else could be connected to there is nothing to panic about', () => {
  assert.equal(assessPool([well, gone, gone, gone], 0.5).panic, false);
  assert.equal(assessPool([gone], 0.5).panic, false);
  assert.equal(assessPool([], 0.5).panic, false);
});

test('without a threshold failed checks empty the pool, but outliers never do', () => {
  assert.equal(assessPool([failing, failing], 0).panic, false);
  assert.equal(assessPool([outlier, gone], 0).panic, true);
  assert.equal(assessPool([outlier, well], 0).panic, false);
});
