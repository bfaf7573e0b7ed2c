import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildOutlierDetection } from '../../policies/outlier-detection.ts';

test('what a service says replaces what the gateway says whole, and what nobody sets has its default', () => {
  const service = { outlierDetection: { consecutive5xx: 2, maxEjectionPercent: '50%' } };
  const gateway = { outlierDetection: { consecutive5xx: 9, interval: '1m', latencyFactor: 3 } };
  const built = buildOutlierDetection(service, gateway);
  assert.deepEqual([built.consecutive5xx, built.maxEjectionShare], [2, 0.5]);
  assert.deepEqual([built.intervalMs, built.latencyFactor], [10_000, 0]);
  assert.deepEqual([built.enabled, built.baseEjectionMs, built.panicShare], [true, 10_000, 0.5]);
  assert.equal(buildOutlierDetection({}, gateway).intervalMs, 60_000);
});

test('the longest ejection is never shorter than the first', () => {
  const options = { outlierDetection: { baseEjectionTime: '10m', maxEjectionTime: '1m' } };
  assert.equal(buildOutlierDetection(options).maxEjectionMs, 600_000);
});
