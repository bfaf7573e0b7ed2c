import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bulkhead } from '../../policies/bulkhead.ts';
import type { Viewer } from '../../policies/request-context.ts';

const ada: Viewer = { id: 'ada', kind: 'api-key', issuer: undefined, scopes: new Set(), roles: [], claims: {} };
const refusal = { code: 'OVERLOADED', service: 'shop', retryAfterSeconds: 1 };

test('a class of viewers is refused at its own bound, and the others are not', () => {
  const bulkhead = new Bulkhead('shop', { calls: 3, anonymous: 1 });
  bulkhead.enter(null);
  assert.throws(() => bulkhead.enter(null), refusal);
  bulkhead.enter(ada);
  bulkhead.enter(ada);
  assert.throws(() => bulkhead.enter(ada), refusal, 'three in all');
  bulkhead.leave(ada);
  assert.throws(() => bulkhead.enter(null), refusal);
  bulkhead.enter(ada);
});

test('processes share the calls, and nothing is bounded that nobody bounds', () => {
  const bulkhead = new Bulkhead('shop', { calls: 5 }, 4);
  bulkhead.enter(ada);
  bulkhead.enter(null);
  assert.throws(() => bulkhead.enter(null), refusal);
  bulkhead.configure({});
  for (let i = 0; i < 10_000; i++) bulkhead.enter(null);
});
