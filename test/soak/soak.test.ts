import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSoak } from './soak.ts';

// A gateway as a process, services that are killed, frozen and cut, clients of all kinds; ten minutes: `npm run soak`.

test('a short soak: no hang, no wrong byte, nothing unexpected in the log, sockets and heap back to the start', {
  timeout: 240_000,
}, async (t) => {
  const { counts, violations, before, after } = await runSoak({
    seconds: 10,
    seed: 20261121,
    warmUpSeconds: 3,
    clients: 6,
  });
  t.diagnostic(`${counts.get('requests')} requests; sockets ${before.sockets} and ${after.sockets}`);
  assert.deepEqual(violations, []);
  assert.ok((counts.get('requests') ?? 0) > 100, `${counts.get('requests')} requests`);
});
