import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFaults } from './faults.ts';

// Invariant 4, at both doors and over connections that are used again; ten thousand: `npm run test:faults`.

test('no mutation and no POST reaches a service twice, at whichever byte its connection breaks', async () => {
  const { arrivals, repeated, safeRepeated, outcomes } = await runFaults({ requests: 1_500, seed: 20261121 });
  assert.deepEqual(repeated, []);
  const failed = [...outcomes].filter(([outcome]) => !outcome.endsWith(' 200')).reduce((sum, [, n]) => sum + n, 0);
  const reached = arrivals.get(1) ?? 0;
  assert.ok(reached > 1_300, `${reached} of 1500 reached a service`);
  assert.ok(failed > 100 && failed < 1_000, `${failed} of 1500 failed`);
  assert.ok(safeRepeated > 0, 'what may be sent again is sent again');
});
