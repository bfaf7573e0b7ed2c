import assert from 'node:assert/strict';
import { test } from 'node:test';
import { balancingAlgorithms, type LoadBalancingOptions } from '../../subgraphs/load-balancing-options.ts';
import { createRandom } from '../support/random.ts';
import { type Chooser, candidates, chooser, type Given } from './candidates.ts';

const everyOption: readonly LoadBalancingOptions[] = balancingAlgorithms.map((algorithm) =>
  algorithm === 'consistent-hash' ? { algorithm, hash: { header: 'x-key' } } : { algorithm },
);

function assertShares(counts: Record<string, number>, expected: Record<string, number>, tolerance = 0.03): void {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  for (const [name, share] of Object.entries(expected)) {
    const got = (counts[name] ?? 0) / total;
    assert.ok(
      Math.abs(got - share) <= tolerance,
      `${name}: expected ${share}, got ${got} of ${JSON.stringify(counts)}`,
    );
  }
}

test('every algorithm returns the only one, and nothing of nothing', () => {
  for (const options of everyOption) {
    const [only] = candidates([3]);
    assert.ok(only);
    assert.equal(chooser([only], options).pick(), only);
    assert.equal(chooser([], options).pick(), undefined);
    only.able = false;
    assert.equal(chooser([only], options).pick(), undefined);
  }
});

test('every algorithm finds the one of 500 that can take calls, and never another', () => {
  for (const options of everyOption) {
    const all = candidates(Array.from({ length: 500 }, () => 1));
    for (const each of all) each.able = each.name === 'i400';
    const choose = chooser(all, options);
    for (let i = 0; i < 20; i++) {
      assert.equal(choose.pick({ headers: { 'x-key': `${i}` } })?.name, 'i400', String(options.algorithm));
    }
  }
});

test('every algorithm but round-robin, which is even, honours weights when all else is equal', () => {
  for (const options of everyOption) {
    const counts = chooser(candidates([1, 2, 5]), options).count(8_000, (turn) => ({
      headers: { 'x-key': `viewer-${turn}` },
      client: { address: `10.0.${turn >> 8}.${turn & 255}`, protocol: 'http', host: '', forwardedFor: '' },
    }));
    const even = options.algorithm === 'round-robin';
    assertShares(counts, even ? { a: 1 / 3, b: 1 / 3, c: 1 / 3 } : { a: 1 / 8, b: 2 / 8, c: 5 / 8 });
  }
});

test('every algorithm gives an instance in slow start its small share of what it would get', () => {
  for (const options of everyOption) {
    const all = candidates([1, 1, 1, 1]);
    const [fresh] = all;
    assert.ok(fresh);
    fresh.ramp = 0.1;
    const counts = chooser(all, options).count(8_000, (turn) => ({
      headers: { 'x-key': `viewer-${turn}` },
      client: { address: `10.0.${turn >> 8}.${turn & 255}`, protocol: 'http', host: '', forwardedFor: '' },
    }));
    assertShares(counts, { a: 0.1 / 3.1 });
  }
});

test('round-robin takes turns, whatever the weights, also while the number of candidates changes', () => {
  const all = candidates([1, 5, 1]);
  const choose = chooser(all, 'round-robin');
  assert.equal(Array.from({ length: 6 }, () => choose.pick()?.name).join(''), 'bcabca');
  for (let i = 0; i < 10; i++) {
    for (const [index, each] of all.entries()) each.able = index <= i % 3;
    assert.ok(choose.pick());
  }
});

test('weighted spreads the turns of a heavy instance, as nginx does', () => {
  const choose = chooser(candidates([5, 1, 1]), 'weighted');
  assert.equal(Array.from({ length: 14 }, () => choose.pick()?.name).join(''), 'aabacaaaabacaa');
});

test('least-connections takes the least loaded per weight, and takes turns by weight when all are idle', () => {
  const all = candidates([1, 2, 1]);
  const [a, b, c] = all;
  assert.ok(a && b && c);
  const choose = chooser(all, 'least-connections');
  a.inFlight = 1;
  b.inFlight = 3;
  c.inFlight = 2;
  assert.equal(choose.pick(), a);
  a.inFlight = 2;
  assert.equal(choose.pick(), b);
  b.inFlight = 4;
  assert.deepEqual(choose.count(8), { a: 2, b: 4, c: 2 });
  for (const each of all) each.inFlight = 0;
  assert.deepEqual(choose.count(8), { a: 2, b: 4, c: 2 });
});

test('least-connections keeps instances filled in the proportion of their weights', () => {
  const all = candidates([1, 3]);
  const choose = chooser(all, 'least-connections');
  for (let i = 0; i < 40; i++) {
    const chosen = choose.pick();
    if (chosen !== undefined) chosen.inFlight++;
  }
  assert.deepEqual(
    all.map((each) => each.inFlight),
    [10, 30],
  );
});

test('p2c sends next to nothing to an instance that is ten times slower', () => {
  const all = candidates([1, 1, 1]);
  for (const each of all) each.latency.observe(each.name === 'c' ? 100 : 10, 0);
  const counts = chooser(all, 'p2c').count(20_000);
  assert.ok((counts['c'] ?? 0) < 40, JSON.stringify(counts));
  assertShares(counts, { a: 0.5, b: 0.5 });
});

test('p2c weighs a slower idle instance against a faster busy one', () => {
  const all = candidates([1, 1]);
  const [slow, busy] = all;
  assert.ok(slow && busy);
  slow.latency.observe(30, 0);
  busy.latency.observe(10, 0);
  busy.inFlight = 29;
  const counts = chooser(all, 'p2c').count(2_000);
  assert.ok((counts['a'] ?? 0) > 1_900, JSON.stringify(counts));
});

test('p2c fills instances of equal latency in the proportion of their weights', () => {
  const all = candidates([1, 2, 5]);
  for (const each of all) each.latency.observe(10, 0);
  const choose = chooser(all, 'p2c');
  for (let i = 0; i < 800; i++) {
    const chosen = choose.pick();
    if (chosen !== undefined) chosen.inFlight++;
  }
  assertShares(Object.fromEntries(all.map(({ name, inFlight }) => [name, inFlight])), { a: 1 / 8, b: 2 / 8, c: 5 / 8 });
});

/** Clients that ask again as soon as they are answered, on a clock of its own; counts calls by name. */
function simulate(
  all: readonly Given[],
  choose: Chooser,
  { clients, calls, timeOf }: { clients: number; calls: number; timeOf: (name: string) => number },
): Record<string, number> {
  const counts: Record<string, number> = {};
  const underWay: { endMs: number; tookMs: number; chosen: Given }[] = [];
  for (let call = 0; call < calls; call++) {
    if (underWay.length >= clients) {
      underWay.sort((a, b) => b.endMs - a.endMs);
      const done = underWay.pop();
      assert.ok(done);
      choose.nowMs = done.endMs;
      done.chosen.inFlight--;
      done.chosen.latency.observe(done.tookMs, done.endMs);
    }
    const chosen = choose.pick();
    assert.ok(chosen && all.includes(chosen));
    const tookMs = timeOf(chosen.name);
    chosen.inFlight++;
    counts[chosen.name] = (counts[chosen.name] ?? 0) + 1;
    underWay.push({ endMs: choose.nowMs + tookMs, tookMs, chosen });
  }
  return counts;
}

test('p2c keeps the slowest hundredth of answers free of an instance that is ten times slower, at any load', () => {
  for (const clients of [1, 3, 10, 40, 200]) {
    const all = candidates([1, 1, 1]);
    const noise = createRandom(clients);
    const timeOf = (name: string) => (name === 'c' ? 100 : 10) * (0.7 + 0.6 * noise());
    const choose = chooser(all, 'p2c');
    const counts = simulate(all, choose, { clients, calls: 20_000, timeOf });
    assert.ok((counts['c'] ?? 0) < 200, `${clients} clients: ${JSON.stringify(counts)}`);
    assertShares(counts, { a: 0.5, b: 0.5 }, 0.05);
  }
});

test('p2c honours weights at any load, also while latencies are noisy', () => {
  for (const clients of [1, 4, 30, 200]) {
    const all = candidates([1, 2, 5]);
    const noise = createRandom(clients);
    const choose = chooser(all, 'p2c');
    const counts = simulate(all, choose, { clients, calls: 20_000, timeOf: () => 10 * (0.7 + 0.6 * noise()) });
    assertShares(counts, { a: 1 / 8, b: 2 / 8, c: 5 / 8 }, 0.07);
  }
});

test('p2c tries an instance that it does not know with one call, and waits for what comes of it', () => {
  const all = candidates([1, 1, 1]);
  const [a, b, unknown] = all;
  assert.ok(a && b && unknown);
  a.latency.observe(10, 0);
  b.latency.observe(10, 0);
  const choose = chooser(all, 'p2c');
  assert.ok((choose.count(300)['c'] ?? 0) > 150);
  unknown.inFlight = 1;
  assert.equal(choose.count(300)['c'], 0);
});

test('p2c tries a slow instance again when its latency has faded', () => {
  const all = candidates([1, 1, 1]);
  for (const each of all) each.latency.observe(each.name === 'c' ? 100 : 10, 0);
  const choose = chooser(all, 'p2c');
  choose.nowMs = 40_000;
  for (const each of all) if (each.name !== 'c') each.latency.observe(10, choose.nowMs);
  assert.ok((choose.count(300)['c'] ?? 0) > 100);
});

test('response-time takes the fastest, per weight and by what it has to do', () => {
  const all = candidates([1, 1, 1]);
  const [a, b, c] = all;
  assert.ok(a && b && c);
  a.latency.observe(20, 0);
  b.latency.observe(10, 0);
  c.latency.observe(40, 0);
  const choose = chooser(all, 'response-time');
  assert.equal(choose.pick(), b);
  b.inFlight = 2;
  assert.equal(choose.pick(), a);
});
