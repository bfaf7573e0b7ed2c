import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryBudget } from '../../policies/retry-budget.ts';

function drain(budget: RetryBudget): number {
  let count = 0;
  while (budget.withdraw()) count++;
  return count;
}

test('a service that is new or quiet may retry a little, and again after a while', () => {
  let nowMs = 0;
  const budget = new RetryBudget({ ratio: 0.2, now: () => nowMs });
  assert.equal(drain(budget), 10);
  nowMs += 500;
  assert.equal(drain(budget), 0);
  nowMs += 2_500;
  assert.equal(drain(budget), 3);
  nowMs += 3_600_000;
  assert.equal(drain(budget), 10);
});

test('a busy service may retry the given share of its calls', () => {
  const budget = new RetryBudget({ ratio: 0.2, now: () => 0 });
  drain(budget);
  let retries = 0;
  for (let i = 0; i < 1_000; i++) {
    budget.deposit();
    if (budget.withdraw()) retries++;
  }
  assert.ok(retries >= 199 && retries <= 200, `${retries}`);
});

test('what is saved up is bounded', () => {
  const budget = new RetryBudget({ ratio: 1, now: () => 0 });
  for (let i = 0; i < 100_000; i++) budget.deposit();
  assert.ok(drain(budget) <= 101);
});

test('a budget of nothing allows nothing', () => {
  const budget = new RetryBudget({ ratio: 0.5, now: () => 0 });
  budget.configure(0);
  assert.equal(drain(budget), 0);
});
