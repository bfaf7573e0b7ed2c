/** What clients and chaos of a soak share: where the gateway is, the dice, and the tally of what came of it all. */

/** Something that must never happen. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export interface World {
  readonly url: string;
  readonly adminUrl: string;
  readonly random: () => number;
  readonly tally: Tally;
  /** Whether clients put up with the failures of services, as far as they are told of them. */
  isCalm: boolean;
}

/** Counts by name, and what must not be. */
export class Tally {
  readonly counts = new Map<string, number>();
  readonly violations: string[] = [];
  readonly #onViolation: (violation: string) => void;

  constructor(onViolation: (violation: string) => void = () => {}) {
    this.#onViolation = onViolation;
  }

  count(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
  }

  /** The first hundred in words. */
  blame(violation: string): void {
    this.count('violations');
    if (this.violations.length >= 100) return;
    this.violations.push(violation);
    this.#onViolation(violation);
  }
}

/** An integer below a bound. */
export function below(random: () => number, bound: number): number {
  return Math.floor(random() * bound);
}

export function pick<Choice>(random: () => number, choices: readonly Choice[]): Choice {
  const choice = choices[below(random, choices.length)];
  if (choice === undefined) throw new Error('there is nothing to choose from');
  return choice;
}

/** One of several, each by its weight. */
export function pickWeighted<Choice>(random: () => number, choices: readonly (readonly [number, Choice])[]): Choice {
  let dice = random() * choices.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, choice] of choices) {
    dice -= weight;
    if (dice < 0) return choice;
  }
  throw new Error('there is nothing to choose from');
}
