import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PluginGuard, type PluginGuardOptions } from '../../gateway/plugin-guard.ts';
import { GatewayError } from '../../policies/errors.ts';

function createGuard(options: Partial<PluginGuardOptions> = {}) {
  const told: string[] = [];
  const clock = { nowMs: 0 };
  const guard = new PluginGuard({
    name: 'one',
    onFailure: 'continue',
    timeoutMs: 60_000,
    circuit: { failures: 2, windowMs: 1_000, openForMs: 5_000 },
    observer: {
      onHook() {},
      onFailure: (_, hook, kind) => told.push(`${hook} ${kind}`),
      onCircuit: (_, hook, open) => told.push(`${hook} ${open ? 'open' : 'closed'}`),
      onBypass: (_, hook) => told.push(`${hook} bypassed`),
    },
    now: () => clock.nowMs,
    ...options,
  });
  const run = (act: () => unknown, hook = 'a') => guard.run(hook, act, (given) => given);
  return { guard, told, clock, run };
}

const fail = (): never => {
  throw new Error('broken');
};

describe('the circuit of a plugin', () => {
  it('opens after failures in a row, lets one call through after its time, and closes when that succeeds', () => {
    const { told, clock, run } = createGuard();
    run(fail);
    run(() => 1);
    run(fail);
    assert.deepEqual(told, ['a throw', 'a throw'], 'a success in between');
    run(fail);
    assert.equal(
      run(() => 1),
      undefined,
      'bypassed',
    );
    assert.equal(
      run(() => 1, 'b'),
      1,
      'another hook is not',
    );
    clock.nowMs = 5_000;
    const { promise, resolve } = Promise.withResolvers<number>();
    const probe = run(() => promise);
    assert.equal(
      run(() => 1),
      undefined,
      'only one at a time',
    );
    resolve(2);
    return Promise.resolve(probe).then((value) => {
      assert.equal(value, 2);
      assert.equal(
        run(() => 3),
        3,
      );
      assert.deepEqual(told.slice(2), ['a throw', 'a open', 'a bypassed', 'a bypassed', 'a closed']);
    });
  });

  it('stays open when that call fails, and is told as open once', () => {
    const { told, clock, run } = createGuard();
    run(fail);
    run(fail);
    clock.nowMs = 5_000;
    run(fail);
    clock.nowMs = 9_999;
    run(fail);
    assert.deepEqual(told, ['a throw', 'a throw', 'a open', 'a throw', 'a bypassed']);
  });

  it('forgets failures that are further apart than its window', () => {
    const { told, clock, run } = createGuard();
    for (let number = 0; number < 5; number++) {
      clock.nowMs += 1_001;
      run(fail);
    }
    assert.ok(!told.includes('a open'));
  });

  it('fails requests at once where the plugin must not be bypassed', () => {
    const { told, run } = createGuard({ onFailure: 'fail' });
    for (let number = 0; number < 3; number++) {
      assert.throws(
        () => run(fail),
        (error) => error instanceof GatewayError && error.code === 'INTERNAL_SERVER_ERROR',
      );
    }
    assert.equal(told.at(-1), 'a bypassed');
  });
});

describe('a guarded hook', () => {
  it('that is late is counted once, whatever becomes of it', async () => {
    const { told, run } = createGuard({ timeoutMs: 1 });
    const { promise, reject } = Promise.withResolvers<number>();
    assert.equal(await run(() => promise), undefined);
    reject(new Error('too late'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(told, ['a timeout']);
  });

  it('gives its result at once when it does not wait', () => {
    const { run } = createGuard();
    assert.equal(
      run(() => 5),
      5,
    );
  });

  it('may throw on purpose, which is no failure', () => {
    const { told, run } = createGuard({ isMeant: (error) => error instanceof RangeError });
    assert.throws(() => {
      run(() => {
        throw new RangeError('meant');
      });
    }, RangeError);
    assert.deepEqual(told, []);
  });

  it('is not called any more when its instance is gone', () => {
    const { guard, run } = createGuard();
    guard.close();
    assert.equal(
      run(() => assert.fail('called')),
      undefined,
    );
  });
});
