import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CircuitBreaker } from '../../policies/circuit-breaker.ts';

const numbers = {
  breakerFailureShare: 0.5,
  breakerMinimumCalls: 10,
  breakerOpenForMs: 1_000,
  breakerErrorCodes: new Set<string>(),
};

function report(breaker: CircuitBreaker, results: readonly boolean[], nowMs = 0): void {
  for (const good of results) {
    const permit = breaker.begin(nowMs);
    if (good) breaker.succeed(permit);
    else breaker.fail(permit, nowMs);
  }
}

const good = (count: number): boolean[] => Array<boolean>(count).fill(true);
const bad = (count: number): boolean[] => Array<boolean>(count).fill(false);

test('it opens at the share of failures, not before the minimum of calls', () => {
  const breaker = new CircuitBreaker(numbers);
  report(breaker, [...good(5), ...bad(4)]);
  assert.equal(breaker.state, 'closed');
  report(breaker, bad(1));
  assert.equal(breaker.state, 'open');
  assert.equal(breaker.isReady(999), false);
  assert.equal(breaker.retryAfterMs(400), 600);
  assert.equal(breaker.isReady(1_000), true);
});

test('it stays closed below the share, however long', () => {
  const breaker = new CircuitBreaker(numbers);
  for (let i = 0; i < 1_000; i++) report(breaker, [true, true, false]);
  assert.equal(breaker.state, 'closed');
});

test('old results leave the window', () => {
  const breaker = new CircuitBreaker(numbers);
  report(breaker, good(1_000));
  report(breaker, bad(24));
  assert.equal(breaker.state, 'closed');
  report(breaker, bad(1));
  assert.equal(breaker.state, 'open');
});

test('one call probes; success closes it and forgets the past', () => {
  const changes: string[] = [];
  const breaker = new CircuitBreaker(numbers, (state) => changes.push(state));
  report(breaker, bad(10));
  const probe = breaker.begin(1_000);
  assert.equal(breaker.state, 'half-open');
  assert.equal(breaker.isReady(1_000), false);
  assert.equal(breaker.isReady(100_000), false);
  breaker.succeed(probe);
  assert.equal(breaker.state, 'closed');
  report(breaker, bad(9));
  assert.equal(breaker.state, 'closed');
  assert.deepEqual(changes, ['open', 'half-open', 'closed']);
});

test('a failed probe opens it again for the whole time', () => {
  const breaker = new CircuitBreaker(numbers);
  report(breaker, bad(10));
  breaker.fail(breaker.begin(1_500), 1_700);
  assert.equal(breaker.state, 'open');
  assert.equal(breaker.isReady(2_699), false);
  assert.equal(breaker.isReady(2_700), true);
});

test('a probe that ends without a verdict leaves room for the next', () => {
  const breaker = new CircuitBreaker(numbers);
  report(breaker, bad(10));
  breaker.release(breaker.begin(1_000));
  assert.equal(breaker.state, 'half-open');
  assert.equal(breaker.isReady(1_000), true);
  breaker.succeed(breaker.begin(1_000));
  assert.equal(breaker.state, 'closed');
});

test('calls that began in an earlier state count for nothing', () => {
  const breaker = new CircuitBreaker(numbers);
  const old = breaker.begin(0);
  report(breaker, bad(10));
  const probe = breaker.begin(1_000);
  breaker.succeed(old);
  assert.equal(breaker.state, 'half-open');
  breaker.release(old);
  assert.equal(breaker.isReady(1_000), false);
  breaker.fail(old, 1_000);
  assert.equal(breaker.state, 'half-open');
  breaker.succeed(probe);
  breaker.fail(old, 1_000);
  assert.equal(breaker.state, 'closed');
});

test('beginning a call that is not allowed is a mistake', () => {
  const breaker = new CircuitBreaker(numbers);
  report(breaker, bad(10));
  assert.throws(() => breaker.begin(10));
});

test('all shares between never and always work', () => {
  const all = new CircuitBreaker({ ...numbers, breakerFailureShare: 1 });
  report(all, [...good(1), ...bad(9)]);
  assert.equal(all.state, 'closed');
  report(all, bad(40));
  assert.equal(all.state, 'closed');
  report(all, bad(1));
  assert.equal(all.state, 'open');
  const any = new CircuitBreaker({ ...numbers, breakerFailureShare: 0 });
  report(any, good(20));
  assert.equal(any.state, 'closed');
  report(any, bad(1));
  assert.equal(any.state, 'open');
});

test('new numbers hold from now on; an open breaker stays open', () => {
  const breaker = new CircuitBreaker(numbers);
  report(breaker, bad(9));
  breaker.configure({ ...numbers, breakerOpenForMs: 5_000 });
  report(breaker, bad(1));
  assert.equal(breaker.retryAfterMs(0), 5_000);
  breaker.configure({ ...numbers, breakerMinimumCalls: 2 });
  assert.equal(breaker.state, 'open');
  breaker.reset();
  assert.equal(breaker.state, 'closed');
  report(breaker, bad(2));
  assert.equal(breaker.state, 'open');
});
