import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeKinds } from '../../gateway/explanation.ts';

test('an explanation tells what holds without the secrets in it', () => {
  const options = { headers: { set: { authorization: 'Bearer abcdefghijk', 'x-a': 'b' } } };
  const [kind] = describeKinds([{ level: 'service', target: 's', policy: 'p', options }]);
  assert.deepEqual(kind, {
    kind: 'headers',
    value: { set: { authorization: '[redacted]', 'x-a': 'b' } },
    from: { level: 'service', target: 's', policy: 'p' },
    overrode: [],
  });
});
