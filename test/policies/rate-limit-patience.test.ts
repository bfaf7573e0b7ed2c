import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createAnswerPatience } from '../../policies/rate-limit-patience.ts';

function stall(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

const never = new Promise<never>(() => {});

describe('patience with a store', () => {
  it('ends when nothing is answered', async () => {
    const wait = createAnswerPatience(25);
    await assert.rejects(wait(never), /no answer within 25 ms/);
    await assert.rejects(wait(Promise.reject(new Error('gone'))), /gone/);
    assert.equal(await wait(Promise.resolve('here')), 'here');
  });

  it('does not end because our own event loop stands still', async () => {
    const wait = createAnswerPatience(25);
    const { promise, resolve } = Promise.withResolvers<string>();
    const answer = wait(promise);
    for (let turn = 0; turn < 3; turn++) {
      await new Promise(setImmediate);
      stall(60);
    }
    resolve('late');
    assert.equal(await answer, 'late');
  });

  it('goes on while others are answered, but not for ever', async () => {
    const wait = createAnswerPatience(25);
    let isOver = false;
    const forgotten = assert.rejects(wait(never)).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await sleep(5);
      assert.equal(await wait(Promise.resolve('here')), 'here');
    }
    await forgotten;
  });
});
