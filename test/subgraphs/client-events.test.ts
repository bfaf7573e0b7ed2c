import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { formatReasons, warnAboutTrouble } from '../../subgraphs/client-events.ts';

test('reasons are lines with their place, where they have one', () => {
  assert.equal(formatReasons([]), '');
  assert.equal(
    formatReasons([
      { path: '/timeout', message: '0s is too short: at least 1ms' },
      { path: '', message: 'the key `url` is missing' },
      { message: 'Query.a is there twice' },
    ]),
    '\n  /timeout: 0s is too short: at least 1ms\n  the key `url` is missing\n  Query.a is there twice',
  );
});

test('a service that does not listen is warned of a refusal, with all reasons', async () => {
  const warned = once(process, 'warning');
  warnAboutTrouble({
    type: 'refused',
    service: 'orders',
    instance: 'orders-1',
    admin: 'http://127.0.0.1:4001',
    status: 400,
    message: 'the service definition is not valid',
    reasons: [{ path: '/grahpql', message: 'unknown key; did you mean `graphql`?' }],
    attempt: 1,
    retryInMs: 1_000,
  });
  const [warning] = await warned;
  assert.equal(warning.code, 'SELVAGE_REFUSED');
  assert.match(warning.message, /refused \(400\): .*\n {2}\/grahpql: unknown key; did you mean `graphql`\?$/);
});
