import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBalancer } from '../../subgraphs/balancer.ts';
import { balancingAlgorithms } from '../../subgraphs/service-definition.ts';
import { createRandom } from '../support/random.ts';

interface Given {
  readonly name: string;
  readonly weight: number;
  inFlight: number;
  turn: number;
}

function candidates(weights: readonly number[]): Given[] {
  return weights.map((weight, index) => ({ name: String.fromCharCode(97 + index), weight, inFlight: 0, turn: 0 }));
}

test('every algorithm returns the only one, and nothing of nothing', () => {
  for (const algorithm of balancingAlgorithms) {
    const balance = createBalancer(algorithm, createRandom(1));
    const [only] = candidates([3]);
    assert.ok(only);
    assert.equal(balance([only]), only);
    assert.equal(balance([]), undefined);
  }
});

test('round-robin takes turns, whatever the weights, also while the number of candidates changes', () => {
  const balance = createBalancer('round-robin');
  const all = candidates([1, 5, 1]);
  const names = Array.from({ length: 6 }, () => balance(all)?.name).join('');
  assert.equal(names, 'bcabca');
  for (let i = 0; i < 10; i++) assert.ok(balance(all.slice(0, 1 + (i % 3))));
});

test('weighted spreads the turns of a heavy instance, as nginx does', () => {
  const balance = createBalancer('weighted');
  const all = candidates([5, 1, 1]);
  assert.equal(Array.from({ length: 14 }, () => balance(all)?.name).join(''), 'aabacaaaabacaa');
});

test('least-connections takes the least loaded per weight, and takes turns by weight when all are idle', () => {
  const balance = createBalancer('least-connections');
  const all = candidates([1, 2, 1]);
  const [a, b, c] = all;
  assert.ok(a && b && c);
  a.inFlight = 1;
  b.inFlight = 3;
  c.inFlight = 2;
  assert.equal(balance(all), a);
  a.inFlight = 2;
  assert.equal(balance(all), b);
  b.inFlight = 4;
  const equals = Array.from({ length: 8 }, () => balance(all)?.name);
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => equals.filter((chosen) => chosen === name).length),
    [2, 4, 2],
  );
  for (const each of all) each.inFlight = 0;
  const idle = Array.from({ length: 8 }, () => balance(all)?.name);
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => idle.filter((chosen) => chosen === name).length),
    [2, 4, 2],
  );
});

test('least-connections keeps instances filled in the proportion of their weights', () => {
  const balance = createBalancer('least-connections');
  const all = candidates([1, 3]);
  for (let i = 0; i < 40; i++) {
    const chosen = balance(all);
    if (chosen !== undefined) chosen.inFlight++;
  }
  assert.deepEqual(
    all.map((each) => each.inFlight),
    [10, 30],
  );
});

test('random follows the weights', () => {
  const balance = createBalancer('random', createRandom(42));
  const all = candidates([1, 2, 7]);
  const counts = new Map<string, number>();
  for (let i = 0; i < 10_000; i++) {
    const name = balance(all)?.name ?? '';
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  assert.ok(Math.abs((counts.get('a') ?? 0) - 1_000) < 150);
  assert.ok(Math.abs((counts.get('b') ?? 0) - 2_000) < 200);
  assert.ok(Math.abs((counts.get('c') ?? 0) - 7_000) < 250);
});
