import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildVariantChoice } from '../../gateway/route-variants.ts';
import type { RouteSplit } from '../../subgraphs/route-split.ts';
import { createRequestContext } from '../support/request-context.ts';

const people = Array.from({ length: 10_000 }, (_, index) =>
  createRequestContext({ headers: { 'x-user': `user-${index}` } }),
);

function sidesOf(weights: Readonly<Record<string, number>>): (string | null)[] {
  const split: RouteSplit = {
    variants: Object.entries(weights).map(([name, weight]) => ({ name, weight })),
    sticky: { header: 'x-user' },
  };
  const choose = buildVariantChoice(split, { service: 's', salt: 's /a', mayUse: () => false });
  return people.map((person) => choose(person).name);
}

const share = (sides: readonly unknown[], name: string) => sides.filter((side) => side === name).length / sides.length;

test('shares are as written, and a change of weights moves no more people than it must', () => {
  const before = sidesOf({ stable: 90, canary: 10 });
  assert.ok(Math.abs(share(before, 'canary') - 0.1) < 0.015);
  const after = sidesOf({ stable: 80, canary: 20 });
  assert.ok(Math.abs(share(after, 'canary') - 0.2) < 0.02);
  const moved = before.filter((side, index) => side !== after[index]).length / people.length;
  assert.ok(Math.abs(moved - 0.1) < 0.02, `${moved} moved`);
  assert.ok(
    before.every((side, index) => side !== 'canary' || after[index] === 'canary'),
    'nobody leaves the canary',
  );
});

test('a third variant takes its share from the others, who exchange nobody', () => {
  const before = sidesOf({ a: 50, b: 50 });
  const after = sidesOf({ a: 45, b: 45, c: 10 });
  assert.ok(before.every((side, index) => side === after[index] || after[index] === 'c'));
});

test('without a key people are spread by weight', () => {
  const split = {
    variants: [
      { name: 'a', weight: 3 },
      { name: 'b', weight: 1 },
      { name: 'c', weight: 0 },
    ],
  };
  let at = 0;
  const random = () => (at++ % 100) / 100;
  const choose = buildVariantChoice(split, { service: 's', salt: 's', mayUse: () => false, random });
  const sides = Array.from({ length: 100 }, () => choose(createRequestContext({})).name);
  assert.deepEqual([share(sides, 'a'), share(sides, 'b'), share(sides, 'c')], [0.75, 0.25, 0]);
});
