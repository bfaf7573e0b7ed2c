import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyQuantile } from '../../policies/latency-quantile.ts';
import { parseRetryAfterMs } from '../../policies/retry-after.ts';

test('Retry-After is seconds or a date of HTTP, and nothing else', () => {
  const nowMs = Date.UTC(2026, 10, 21, 12, 0, 0);
  assert.equal(parseRetryAfterMs('120', nowMs), 120_000);
  assert.equal(parseRetryAfterMs(' 0 ', nowMs), 0);
  assert.equal(parseRetryAfterMs('Sat, 21 Nov 2026 12:00:30 GMT', nowMs), 30_000);
  assert.equal(parseRetryAfterMs('Sat, 21 Nov 2026 11:00:00 GMT', nowMs), 0);
  for (const strange of [undefined, '', '-1', '1.5', 'soon', '2026', 'Sat, never', '9'.repeat(30)])
    assert.ok([undefined, 2_026_000].includes(parseRetryAfterMs(strange, nowMs)), String(strange));
});

test('what is usual is known after twenty calls, and follows the last 256', () => {
  const latency = new LatencyQuantile(0.95);
  for (let i = 1; i < 20; i++) latency.observe(i);
  assert.equal(latency.valueMs, Number.POSITIVE_INFINITY);
  latency.observe(20);
  assert.equal(latency.valueMs, 19);
  for (let i = 0; i < 400; i++) latency.observe(100);
  assert.equal(latency.valueMs, 100);
});
