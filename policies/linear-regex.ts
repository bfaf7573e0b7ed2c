/**
 * Regular expressions that teams write and clients feed: a subset in which a match takes time in proportion to its input,
 * checked when the expression is read. What is left out is what backtracks: at each character at most one way leads on.
 */

/** What is wrong with an expression, in a sentence for whoever wrote it. */
export class RegexMistake extends Error {
  override readonly name = 'RegexMistake';
}

export interface LinearRegex {
  /** Matches whole texts only. */
  readonly regex: RegExp;
  /** Names of the groups that capture, in order; those without a name have their number. */
  readonly groups: readonly string[];
  /** What every match begins with. */
  readonly literalPrefix: string;
}

export const maxRegexLength = 512;

/** A set of ASCII characters as bits; bit 128 stands for all others. */
type CharacterSet = bigint;

type Sequence = readonly Item[];
interface Item {
  readonly node: CharacterSet | readonly Sequence[];
  readonly min: number;
  readonly max: number;
}

/** What comes after a part of the expression. */
interface Rest {
  readonly first: CharacterSet;
  readonly maxLength: number;
}

const everything = (1n << 129n) - 1n;
const digits = rangeOf('0', '9');
const words = digits | rangeOf('a', 'z') | rangeOf('A', 'Z') | setOf('_');
const spaces = setOf(' ') | rangeOf('\t', '\r');
const classes: ReadonlyMap<string, CharacterSet> = new Map([
  ['d', digits],
  ['D', everything & ~digits],
  ['w', words],
  ['W', everything & ~words],
  ['s', spaces],
  ['S', everything & ~spaces],
]);
const maxRepeats = 1_000;
/** Behind a repetition that could have gone on: so many characters are looked at again, at most, at each place. */
const maxLookedAtAgain = 256;

/** Compiles an expression. Throws a {@link RegexMistake}. */
export function compileLinearRegex(source: string): LinearRegex {
  if (source.length > maxRegexLength) {
    throw new RegexMistake(`expected a regular expression of at most ${maxRegexLength} characters`);
  }
  const inner = source.replace(/^\^/, '').replace(/(?<!\\)\$$/, '');
  const reader = new Reader(inner);
  const branches = reader.readBranches();
  if (!reader.atEnd) throw new RegexMistake('expected as many `(` as `)`');
  assertLinear([{ node: branches, min: 1, max: 1 }], { first: 0n, maxLength: 0 }, { ambiguous: 0 });
  return { regex: new RegExp(`^(?:${inner})$`), groups: reader.groups, literalPrefix: literalPrefixOf(branches) };
}

/** Reads the subset: characters, classes, `.`, groups, alternatives, repetitions. */
class Reader {
  readonly groups: string[] = [];
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  get atEnd(): boolean {
    return this.#at >= this.#source.length;
  }

  readBranches(): Sequence[] {
    const branches = [this.#readSequence()];
    while (this.#takes('|')) branches.push(this.#readSequence());
    return branches;
  }

  #readSequence(): Sequence {
    const items: Item[] = [];
    while (!this.atEnd && this.#peek !== '|' && this.#peek !== ')') {
      const node = this.#readNode();
      items.push({ node, ...this.#readRepeats() });
    }
    return items;
  }

  #readNode(): Item['node'] {
    const character = this.#next();
    if (character === '(') return this.#readGroup();
    if (character === '[') return this.#readClass();
    if (character === '.') return everything;
    if (character === '\\') return this.#readEscape();
    if ('*+?{}]^$'.includes(character))
      throw new RegexMistake(`expected \`\\${character}\`, if the character is meant`);
    return setOf(character);
  }

  #readGroup(): Sequence[] {
    const name = /^\?<([A-Za-z_]\w*)>/.exec(this.#source.slice(this.#at));
    if (name !== null) {
      this.#at += name[0].length;
      this.groups.push(name[1] ?? '');
    } else if (this.#peek !== '?') this.groups.push(String(this.groups.length + 1));
    else if (this.#source.startsWith('?:', this.#at)) this.#at += 2;
    else
      throw new RegexMistake('expected groups as `(…)`, `(?:…)` or `(?<name>…)`: nothing that looks ahead or behind');
    const branches = this.readBranches();
    if (!this.#takes(')')) throw new RegexMistake('expected as many `(` as `)`');
    return branches;
  }

  #readClass(): CharacterSet {
    const negated = this.#takes('^');
    let set = 0n;
    while (!this.#takes(']')) {
      if (this.atEnd) throw new RegexMistake('expected `]` at the end of a class');
      const from = this.#next();
      const low = from === '\\' ? this.#readEscape() : setOf(from);
      if (this.#peek !== '-' || this.#source[this.#at + 1] === ']') set |= low;
      else {
        this.#at++;
        const to = this.#next();
        if (from === '\\' || to === '\\' || from > to)
          throw new RegexMistake('expected ranges such as `a-z` in a class');
        set |= rangeOf(from, to);
      }
    }
    return negated ? everything & ~set : set;
  }

  #readEscape(): CharacterSet {
    const character = this.#next();
    const set = classes.get(character);
    if (set !== undefined) return set;
    if (/[A-Za-z0-9]/.test(character)) {
      throw new RegexMistake(
        `\`\\${character}\` is not allowed: of escapes only \\d, \\w, \\s, their opposites and signs`,
      );
    }
    return setOf(character);
  }

  #readRepeats(): Pick<Item, 'min' | 'max'> {
    const found = /^(?:[*+?]|\{(\d+)(,(\d*))?\})/.exec(this.#source.slice(this.#at));
    if (found === null) return { min: 1, max: 1 };
    this.#at += found[0].length;
    if (this.#peek === '?' || this.#peek === '+') throw new RegexMistake('expected no second sign after a repetition');
    const [sign, low = '0', comma, high] = found;
    if (sign === '?') return { min: 0, max: 1 };
    if (sign === '*' || sign === '+') return { min: sign === '+' ? 1 : 0, max: Number.POSITIVE_INFINITY };
    const min = Number(low);
    const max = comma === undefined ? min : high === '' ? Number.POSITIVE_INFINITY : Number(high);
    if (min > maxRepeats || (max > maxRepeats && Number.isFinite(max)) || max < min || max === 0) {
      throw new RegexMistake(`expected a repetition from 1 to ${maxRepeats}, the smaller number first`);
    }
    return { min, max };
  }

  get #peek(): string {
    return this.#source[this.#at] ?? '';
  }

  #next(): string {
    const character = this.#source[this.#at++];
    if (character === undefined) throw new RegexMistake('expected more at the end of the expression');
    return character;
  }

  #takes(character: string): boolean {
    if (this.#peek !== character) return false;
    this.#at++;
    return true;
  }
}

/**
 * Throws where two ways could lead on. One repetition in the whole expression may overlap with what follows (`.*\.json`),
 * if that is short: the time is still in proportion to the input.
 */
function assertLinear(sequence: Sequence, outer: Rest, seen: { ambiguous: number }): Rest {
  let rest = outer;
  for (const { node, min, max } of sequence.toReversed()) {
    const first = firstOf(node);
    const varies = min !== max;
    if (typeof node !== 'bigint') {
      if (max > 1) throw new RegexMistake('a group must not be repeated: repeat a character or a class');
      assertDistinct(node, varies);
      for (const branch of node) assertLinear(branch, rest, seen);
    }
    if (varies && (first & rest.first) !== 0n) {
      seen.ambiguous++;
      if (typeof node !== 'bigint' || seen.ambiguous > 1 || rest.maxLength > maxLookedAtAgain) {
        throw new RegexMistake(
          'what may be repeated or missing must not begin like what follows it, but once before a short end: it would be slow',
        );
      }
    }
    const length = typeof node === 'bigint' ? 1 : Math.max(...node.map(lengthOf));
    rest = {
      first: min === 0 || isNullable(node) ? first | rest.first : first,
      maxLength: rest.maxLength + length * max,
    };
  }
  return rest;
}

function assertDistinct(branches: readonly Sequence[], isOptional: boolean): void {
  const canBeEmpty = branches.some(isEmptyable);
  if (canBeEmpty && (isOptional || branches.length > 1)) {
    throw new RegexMistake('alternatives, and what `?` stands behind, must not match nothing');
  }
  const words = branches.map(wordOf);
  branches.forEach((branch, index) => {
    for (let other = index + 1; other < branches.length; other++) {
      const [one, two] = [words[index], words[other]];
      if (typeof one === 'string' && typeof two === 'string') {
        if (!one.startsWith(two) && !two.startsWith(one)) continue;
      } else if ((firstOfSequence(branch) & firstOfSequence(branches[other] ?? [])) === 0n) continue;
      throw new RegexMistake('alternatives must be words of which none begins another, or begin with other characters');
    }
  });
}

/** The text that a sequence stands for; null when it stands for several. */
function wordOf(sequence: Sequence): string | null {
  let word = '';
  for (const { node, min, max } of sequence) {
    const character = typeof node === 'bigint' ? characterOf(node) : null;
    if (character === null || min !== 1 || max !== 1) return null;
    word += character;
  }
  return word;
}

function literalPrefixOf(branches: readonly Sequence[]): string {
  const [only, ...others] = branches;
  if (only === undefined || others.length > 0) return '';
  let prefix = '';
  for (const { node, min, max } of only) {
    const character = typeof node === 'bigint' ? characterOf(node) : null;
    if (character === null || min !== 1 || max !== 1) break;
    prefix += character;
  }
  return prefix;
}

function firstOf(node: Item['node']): CharacterSet {
  return typeof node === 'bigint' ? node : node.reduce((set, branch) => set | firstOfSequence(branch), 0n);
}

function firstOfSequence(sequence: Sequence): CharacterSet {
  let set = 0n;
  for (const { node, min } of sequence) {
    set |= firstOf(node);
    if (min > 0 && !isNullable(node)) break;
  }
  return set;
}

function isNullable(node: Item['node']): boolean {
  return typeof node !== 'bigint' && node.some(isEmptyable);
}

function isEmptyable(sequence: Sequence): boolean {
  return sequence.every(({ node, min }) => min === 0 || isNullable(node));
}

function lengthOf(sequence: Sequence): number {
  return sequence.reduce(
    (length, { node, max }) => length + max * (typeof node === 'bigint' ? 1 : Math.max(...node.map(lengthOf))),
    0,
  );
}

function setOf(character: string): CharacterSet {
  return 1n << BigInt(Math.min(character.charCodeAt(0), 128));
}

function rangeOf(from: string, to: string): CharacterSet {
  let set = 0n;
  for (let code = Math.min(from.charCodeAt(0), 128); code <= Math.min(to.charCodeAt(0), 128); code++) {
    set |= 1n << BigInt(code);
  }
  return set;
}

function characterOf(set: CharacterSet): string | null {
  // One bit alone; the bit of all other characters says nothing of which one.
  if (set === 0n || (set & (set - 1n)) !== 0n || set === 1n << 128n) return null;
  return String.fromCharCode(set.toString(2).length - 1);
}
