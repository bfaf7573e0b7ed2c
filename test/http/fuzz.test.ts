import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runFuzz } from './fuzz.ts';

test('of 500 mutated requests none is seen by the service differently from what was decided on, and no socket is left', async () => {
  const { sent, forwarded, compared } = await runFuzz(500, 20_261_121);
  assert.equal(sent, 500);
  assert.ok(forwarded > 50, `${forwarded} were forwarded`);
  assert.ok(compared > 20, `${compared} could be compared`);
});
