/**
 * Regular expressions that others write and clients' texts are matched with. The engine backtracks, so an expression in
 * which a repetition can divide one text in many ways takes exponential time; such are refused. Those that are left take
 * at most a power of the text's length, so that length is bounded by their open repetitions.
 */

export type PatternVerdict =
  | { readonly kind: 'safe'; readonly maxLength: number }
  | { readonly kind: 'refused'; readonly why: string };

/** Longest expression that is looked at. */
const maxPatternLength = 1_000;
/** Steps that one match may take, as a power of ten: some ten milliseconds. */
const stepsPower = 7;

/** Looks at an expression. The text it is matched with may have `maxLength` characters. */
export function judgePattern(source: string): PatternVerdict {
  if (source.length > maxPatternLength) return refusePattern(`a pattern may have ${maxPatternLength} characters`);
  try {
    new RegExp(source, 'u');
  } catch (error) {
    return refusePattern(error instanceof Error ? error.message : 'no regular expression');
  }
  try {
    const parser = new PatternParser(source);
    const nodes = parser.parse();
    const degree = countOpen(nodes) + (source.startsWith('^') ? 0 : 1);
    return { kind: 'safe', maxLength: degree <= 1 ? 10_000_000 : Math.floor(10 ** (stepsPower / degree)) };
  } catch (error) {
    if (error instanceof Unsafe) return refusePattern(error.message);
    throw error;
  }
}

/** A verdict that says why. */
export function refusePattern(why: string): PatternVerdict & { readonly kind: 'refused' } {
  return { kind: 'refused', why };
}

class Unsafe extends Error {}

/** One piece of an expression with its repetition. */
interface Piece {
  /** What one character must be; null for a group, and for what takes no character. */
  readonly one: RegExp | null;
  readonly branches: readonly (readonly Piece[])[];
  readonly min: number;
  readonly max: number;
}

/** Repetitions that may take any number of characters, of the branch that has most. */
function countOpen(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { branches, min, max }) => {
    const inner = Math.max(0, ...branches.map(countOpen));
    return (
      sum + inner * (max === Number.POSITIVE_INFINITY ? 1 : Math.max(1, Math.min(max, 8))) + (max - min > 20 ? 1 : 0)
    );
  }, 0);
}

class PatternParser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): readonly Piece[] {
    const branches = this.#branches();
    return [{ one: null, branches, min: 1, max: 1 }];
  }

  #branches(): Piece[][] {
    const branches: Piece[][] = [[]];
    while (this.#at < this.#source.length && this.#source[this.#at] !== ')') {
      if (this.#source[this.#at] === '|') {
        this.#at++;
        branches.push([]);
      } else branches.at(-1)?.push(this.#piece());
    }
    return branches;
  }

  #piece(): Piece {
    const piece = this.#atom();
    const [whole = '', least, comma, most] = /^(?:[*+?]|\{(\d+)(,)?(\d+)?\})/.exec(this.#source.slice(this.#at)) ?? [];
    if (whole === '') return piece;
    this.#at += whole.length;
    if (this.#source[this.#at] === '?') this.#at++;
    const min = whole === '+' ? 1 : Number(least ?? 0);
    const open = whole === '*' || whole === '+' || (comma !== undefined && most === undefined);
    const max = whole === '?' ? 1 : open ? Number.POSITIVE_INFINITY : Number(most ?? least);
    const repeated = { ...piece, min, max };
    assertUnambiguous(repeated);
    return repeated;
  }

  #atom(): Piece {
    const rest = this.#source.slice(this.#at);
    if (rest.startsWith('(')) return this.#group(rest);
    const [text = ''] =
      /^(?:\[(?:\\.|[^\]\\])*\]|\\(?:u\{[^}]*\}|u[\da-f]{4}|x[\da-f]{2}|[pP]\{[^}]*\}|k<|.)|.)/isu.exec(rest) ?? [];
    this.#at += text.length;
    if (/^\\(?:[1-9]|k<)/.test(text)) throw new Unsafe('back references are not allowed');
    const takesNone = text === '^' || text === '$' || /^\\b$/i.test(text);
    return { one: takesNone ? null : new RegExp(`^(?:${text})$`, 'su'), branches: [], min: 1, max: 1 };
  }

  #group(rest: string): Piece {
    const [opening = ''] = /^\((?:\?(?:[:=!]|<[=!]|<[^>]+>))?/.exec(rest) ?? [];
    if (/[=!]$/.test(opening)) throw new Unsafe('look-ahead and look-behind are not allowed');
    this.#at += opening.length;
    const branches = this.#branches();
    this.#at++;
    return { one: null, branches, min: 1, max: 1 };
  }
}

/**
 * A repeated group must not be able to divide a text in two ways: it is of one character, or of pieces of fixed length, or
 * each round begins (or ends) with a character that nothing else in it can take. Its branches begin differently.
 */
function assertUnambiguous({ branches, max, min }: Piece): void {
  if (branches.length === 0 || max <= 1) return;
  const lists = branches.filter((branch) => branch.length > 0);
  if (lists.length < branches.length) throw new Unsafe('a repeated group can be empty');
  const isFixed = lists.every((branch) => branch.every(isFixedPiece));
  if (isFixed && branches.length === 1) return;
  // As often as is said, of parts that are short: what there is to try stays small.
  if (min === max && max <= 8 && lists.every((branch) => branch.every((piece) => reach(piece) <= 8))) return;
  for (const [index, branch] of lists.entries()) {
    if (!isFixed && !isSeparated(branch)) {
      throw new Unsafe(
        'a repetition within a repetition needs a character that divides the rounds, as in `(-[a-z]+)*`',
      );
    }
    for (const other of lists.slice(index + 1)) {
      if (overlap(first(branch), first(other))) throw new Unsafe('repeated alternatives begin with the same character');
    }
  }
}

function isFixedPiece({ branches, min, max }: Piece): boolean {
  return min === max && branches.length <= 1 && branches.every((branch) => branch.every(isFixedPiece));
}

/** The most characters that a piece can take. */
function reach({ one, branches, max }: Piece): number {
  return (
    max * (one === null ? Math.max(0, ...branches.map((branch) => branch.reduce((sum, p) => sum + reach(p), 0))) : 1)
  );
}

function isSeparated(branch: readonly Piece[]): boolean {
  const isMark = ({ one, min, max }: Piece | undefined = nothing, others: readonly Piece[] = []): boolean =>
    one !== null && min === 1 && max === 1 && others.every((other) => !overlap([one], all(other)));
  return isMark(branch[0], branch.slice(1)) || isMark(branch.at(-1), branch.slice(0, -1));
}

const nothing: Piece = { one: null, branches: [], min: 0, max: 0 };

/** Everything that a piece may take. */
function all({ one, branches }: Piece): RegExp[] {
  return one === null ? branches.flatMap((branch) => branch.flatMap(all)) : [one];
}

/** What a branch may begin with. */
function first(branch: readonly Piece[]): RegExp[] {
  const found: RegExp[] = [];
  for (const piece of branch) {
    found.push(...(piece.one === null ? piece.branches.flatMap(first) : [piece.one]));
    if (piece.min > 0 && (piece.one !== null || piece.branches.length > 0)) break;
  }
  return found;
}

/** All of ASCII, and a few beyond of each sort. */
const samples = [
  ...Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)),
  '\u00a0',
  'é',
  'É',
  'ß',
  'я',
  '中',
  '☺',
  '\u2028',
  '٣',
  '😀',
];

function overlap(some: readonly RegExp[], others: readonly RegExp[]): boolean {
  return samples.some((sample) => some.some((one) => one.test(sample)) && others.some((one) => one.test(sample)));
}
