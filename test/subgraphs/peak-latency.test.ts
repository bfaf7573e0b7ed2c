import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeakLatency } from '../../subgraphs/peak-latency.ts';

test('a peak counts at once, and fades', () => {
  const latency = new PeakLatency(10_000);
  assert.equal(latency.known, false);
  latency.observe(10, 0);
  latency.observe(200, 100);
  assert.equal(latency.known, true);
  assert.equal(latency.valueMs(100), 200);
  assert.equal(Math.round(latency.valueMs(10_100)), Math.round(200 / Math.E));
});

test('faster answers bring it down: some thirty, or as many as come in its time', () => {
  const latency = new PeakLatency(10_000);
  latency.observe(200, 0);
  for (let ms = 1; ms <= 32; ms++) latency.observe(10, ms);
  assert.ok(Math.abs(latency.valueMs(32) - (10 + 190 / Math.E)) < 2);
  for (let ms = 33; ms <= 250; ms++) latency.observe(10, ms);
  assert.ok(Math.abs(latency.valueMs(250) - 10) < 1);
  const rarely = new PeakLatency(10_000);
  rarely.observe(200, 0);
  rarely.observe(10, 20_000);
  assert.ok(Math.abs(rarely.valueMs(20_000) - (10 + 190 * Math.exp(-2))) < 1);
});

test('a failure counts like an answer ten times as slow, the next one like a hundred times, up to the timeout', () => {
  const latency = new PeakLatency(10_000);
  latency.observe(20, 0);
  latency.observeFailure(1, 5_000, 0);
  assert.equal(latency.valueMs(0), 200);
  latency.observeFailure(1, 5_000, 0);
  assert.equal(latency.valueMs(0), 2_000);
  latency.observeFailure(1, 5_000, 0);
  assert.equal(latency.valueMs(0), 5_000);
});

test('who fails at once from the first call on does not look fast', () => {
  const latency = new PeakLatency(10_000);
  latency.observeFailure(0.2, 5_000, 0);
  assert.equal(latency.valueMs(0), 100);
});

test('an answer that nobody waited for counts as far as it was slow', () => {
  const latency = new PeakLatency(10_000);
  latency.observe(100, 0);
  latency.observeAtLeast(50, 0);
  assert.equal(latency.valueMs(0), 100);
  latency.observeAtLeast(400, 0);
  assert.equal(latency.valueMs(0), 400);
});
