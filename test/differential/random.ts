/** Chance that can be repeated: everything generated follows from a seed. */

import { createRandom as createNumbers } from '../support/random.ts';

export interface Random {
  /** From 0 up to, not including, 1. */
  next(): number;
  /** From 0 up to, not including, `end`. */
  integer(end: number): number;
  chance(probability: number): boolean;
  /** One of them. Throws when there are none. */
  pick<T>(items: readonly T[]): T;
  /** As many of them, in their order; all when there are fewer. */
  sample<T>(items: readonly T[], count: number): T[];
}

export function createRandom(seed: number): Random {
  const next = createNumbers(seed);
  const integer = (end: number): number => Math.floor(next() * end);
  return {
    next,
    integer,
    chance: (probability) => next() < probability,
    pick(items) {
      const index = integer(items.length);
      if (index >= items.length) throw new Error('there is nothing to pick from');
      return items[index] as (typeof items)[number];
    },
    sample(items, count) {
      const left = items.map((_, index) => index);
      const chosen: number[] = [];
      while (chosen.length < count && left.length > 0) chosen.push(...left.splice(integer(left.length), 1));
      return items.filter((_, index) => chosen.includes(index));
    },
  };
}

/** FNV-1a with a finish that spreads it: a number below 2^32 that is the same for the same text. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
