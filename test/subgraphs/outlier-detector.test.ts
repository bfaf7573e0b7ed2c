import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildOutlierDetection, type OutlierDetectionOptions } from '../../policies/outlier-detection.ts';
import { OutlierDetector, OutlierRecord } from '../../subgraphs/outlier-detector.ts';
import { createRandom } from '../support/random.ts';
import { createFakeClock } from './fake-clock.ts';

/** A detector for instances called `a`, `b`, ..., in a world where time stands. */
function detect(size: number, outlierDetection: OutlierDetectionOptions = {}) {
  const clock = createFakeClock();
  const detector = new OutlierDetector(buildOutlierDetection({ outlierDetection }), clock);
  const events: string[] = [];
  const unwell = new Set<OutlierRecord>();
  const records: OutlierRecord[] = Array.from({ length: size }, (_, index) => {
    const name = String.fromCharCode(97 + index);
    const record: OutlierRecord = new OutlierRecord(
      () => !unwell.has(record),
      (ejection) => events.push(ejection === null ? `${name} back` : `${name} ${ejection.reason}: ${ejection.detail}`),
    );
    return record;
  });
  detector.setMembers(records);
  const at = (index: number): OutlierRecord => records[index] ?? assert.fail(`no instance ${index}`);
  const fail = (index: number, times: number, isGatewayFailure = false): void => {
    for (let i = 0; i < times; i++) detector.fail(at(index), isGatewayFailure);
  };
  const succeed = (index: number, times: number, latencyMs = 10): void => {
    for (let i = 0; i < times; i++) detector.succeed(at(index), latencyMs);
  };
  const ejected = (): number => records.filter((record) => record.ejection !== null).length;
  return { clock, detector, events, unwell, records, at, fail, succeed, ejected };
}

test('failures in a row eject an instance, and an answer in between does not let them add up', () => {
  const { events, fail, succeed } = detect(3);
  succeed(1, 5);
  fail(0, 4);
  succeed(0, 1);
  fail(0, 4);
  assert.deepEqual(events, []);
  fail(0, 1);
  assert.deepEqual(events, ['a consecutive5xx: 5 failures in a row']);
});

test('gateway failures are counted by themselves where that is asked for', () => {
  const { events, fail, succeed } = detect(3, { consecutive5xx: 0, consecutiveGatewayFailure: 3 });
  succeed(1, 5);
  fail(0, 2, true);
  fail(0, 1, false);
  fail(0, 2, true);
  assert.deepEqual(events, []);
  fail(0, 1, true);
  assert.deepEqual(events, ['a consecutiveGatewayFailure: 3 gateway failures in a row']);
});

test('when the peers fail alike nobody is an outlier: what they have in common is at fault', () => {
  const { events, fail } = detect(3);
  for (let i = 0; i < 20; i++) for (const index of [1, 2, 0]) fail(index, 1);
  assert.deepEqual(events, []);
});

test('the share of failures in a window ejects an instance that had calls enough, the worst first', async () => {
  const { events, fail, succeed, clock } = detect(4, { consecutive5xx: 0, maxEjectionPercent: '25%' });
  for (const index of [2, 3]) succeed(index, 100);
  fail(0, 12);
  succeed(0, 8);
  fail(1, 16);
  succeed(1, 4);
  assert.deepEqual(events, []);
  await clock.advance(10_000);
  assert.deepEqual(events, ['b failurePercentage: 16 of 20 calls failed']);
});

test('too few calls in a window say nothing, and each window begins anew', async () => {
  const { events, fail, succeed, clock } = detect(2, { consecutive5xx: 0 });
  for (let window = 0; window < 3; window++) {
    succeed(1, 50);
    fail(0, 19);
    await clock.advance(10_000);
  }
  assert.deepEqual(events, []);
});

test('an answer that breaks off counts as a failure of the call that it was', async () => {
  const { events, detector, at, succeed, clock } = detect(2);
  succeed(1, 20);
  for (let i = 0; i < 20; i++) {
    succeed(0, 1);
    detector.spoil(at(0));
  }
  await clock.advance(10_000);
  assert.deepEqual(events, ['a failurePercentage: 20 of 20 calls failed']);
});

test('an instance far slower than the median of its peers is ejected, when that is asked for', async () => {
  const measure = async (options: OutlierDetectionOptions): Promise<string[]> => {
    const { events, succeed, clock } = detect(4, options);
    succeed(0, 30, 200);
    for (const index of [1, 2, 3]) succeed(index, 30, 20);
    await clock.advance(10_000);
    return events;
  };
  assert.deepEqual(await measure({}), []);
  assert.deepEqual(await measure({ latencyFactor: 5 }), ['a latency: 200 ms, its peers 20 ms']);
  assert.deepEqual(await measure({ latencyFactor: 12 }), []);
  assert.deepEqual(await measure({ latencyFactor: 5, latencyRequestVolume: 31 }), []);
  assert.deepEqual(await measure({ latencyFactor: 5, latencyMinimum: '250ms' }), []);
});

test('one very slow answer makes no outlier, nor does an upload whose time says nothing', async () => {
  const { events, succeed, clock } = detect(2, { latencyFactor: 3 });
  succeed(0, 29, 50);
  succeed(0, 1, 60_000);
  succeed(0, 50, Number.NaN);
  succeed(1, 30, 40);
  await clock.advance(10_000);
  assert.deepEqual(events, []);
});

test('an ejection ends by itself, takes longer each time up to a limit, and is forgiven by good time', async () => {
  const { events, at, fail, succeed, clock } = detect(2, { baseEjectionTime: '10s', maxEjectionTime: '25s' });
  const ejectFor = async (durationMs: number): Promise<void> => {
    succeed(1, 50);
    fail(0, 5);
    await clock.advance(durationMs - 1);
    assert.notEqual(at(0).ejection, null);
    await clock.advance(1);
    assert.equal(at(0).ejection, null);
  };
  await ejectFor(10_000);
  await ejectFor(20_000);
  await ejectFor(25_000);
  assert.equal(events.length, 6);
  // A window that is over within the good time does not count whole.
  await clock.advance(100_000);
  assert.equal(at(0).count, 0);
  assert.equal(clock.pendingTimers, 0);
  await ejectFor(10_000);
});

test('no more than the share is ejected, one may always be, and with a share of nothing none', () => {
  const ejectAll = (size: number, maxEjectionPercent: string): number => {
    const { fail, succeed, ejected } = detect(size, { maxEjectionPercent });
    for (let index = 0; index < size; index++) {
      for (let other = index + 1; other < size; other++) succeed(other, 1_000);
      fail(index, 5);
    }
    return ejected();
  };
  assert.equal(ejectAll(10, '30%'), 3);
  assert.equal(ejectAll(3, '10%'), 1);
  assert.equal(ejectAll(3, '0%'), 0);
  assert.equal(ejectAll(1, '100%'), 0);
  assert.equal(ejectAll(2, '100%'), 1);
});

test('the last one that is well is never ejected', () => {
  const { fail, ejected, unwell, at } = detect(3, { maxEjectionPercent: '100%' });
  unwell.add(at(1));
  unwell.add(at(2));
  fail(0, 50);
  assert.equal(ejected(), 0);
  unwell.delete(at(2));
  fail(0, 1);
  assert.equal(ejected(), 1);
});

test('whatever happens, somebody is left', async () => {
  const random = createRandom(4);
  const { detector, clock, records, at, fail, succeed, ejected } = detect(6, {
    maxEjectionPercent: '100%',
    latencyFactor: 2,
    latencyMinimum: '1ms',
  });
  for (let step = 0; step < 3_000; step++) {
    const index = Math.floor(random() * 6);
    if (random() < 0.5) fail(index, Math.floor(random() * 8));
    else succeed(index, Math.floor(random() * 30), random() * 1_000);
    if (random() < 0.05) await clock.advance(random() * 12_000);
    if (random() < 0.01) detector.pardon(at(index));
    assert.ok(ejected() < records.length);
  }
});

test('an instance that is another process now is pardoned, and one that has gone is forgotten', async () => {
  const { detector, events, at, fail, succeed, clock } = detect(3);
  succeed(1, 20);
  fail(0, 5);
  detector.pardon(at(0));
  assert.deepEqual(events, ['a consecutive5xx: 5 failures in a row', 'a back']);
  fail(0, 4);
  detector.pardon(at(0));
  fail(0, 4);
  assert.equal(events.length, 2);
  fail(0, 1);
  detector.forget(at(0));
  await clock.advance(600_000);
  assert.equal(events.length, 3);
  assert.equal(clock.pendingTimers, 0);
});

test('switched off it counts nothing, and lets those out that it holds', () => {
  const { detector, events, fail, succeed, at } = detect(2);
  succeed(1, 5);
  fail(0, 5);
  detector.configure(buildOutlierDetection({ outlierDetection: { enabled: false } }));
  assert.deepEqual(events, ['a consecutive5xx: 5 failures in a row', 'a back']);
  fail(0, 50);
  assert.equal(at(0).calls, 0);
});

test('a quiet service has no timer, and a stopped detector neither', async () => {
  const { detector, clock, fail, succeed } = detect(2);
  assert.equal(clock.pendingTimers, 0);
  succeed(0, 1);
  assert.equal(clock.pendingTimers, 1);
  await clock.advance(20_000);
  assert.equal(clock.pendingTimers, 0);
  succeed(1, 5);
  fail(0, 5);
  detector.stop();
  assert.equal(clock.pendingTimers, 0);
});
