/**
 * JSON with nothing lost: numbers keep their digits (64 bits are more than a double holds), names that come twice are
 * found, and what is nested too deep is refused before it is walked.
 */

/** A number as it was written. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Text of a path or a query, where everything is text: `1` and `true` are also what they look like. */
export class JsonParameter {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Json = null | boolean | string | JsonNumber | JsonParameter | readonly Json[] | JsonObject;
export type JsonObject = ReadonlyMap<string, Json>;

/** What is no JSON, and where that shows. */
export class JsonMistake extends Error {
  override readonly name = 'JsonMistake';
}

/** As deep as protocol buffers go. */
export const maxJsonDepth = 100;

/** Parses UTF-8 strictly (RFC 8259, and section 4 of it: names once). */
export function parseJsonText(bytes: Buffer): Json {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new JsonMistake('the body is not valid UTF-8');
  }
  return new JsonParser(text).parse();
}

const space = /[ \t\n\r]*/y;
const numberForm = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const stringEscape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const words = { true: true, false: false, null: null } as const;

class JsonParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Json {
    const value = this.#value(0);
    this.#skip();
    if (this.#at < this.#text.length) throw this.#mistake('expected the end');
    return value;
  }

  #value(depth: number): Json {
    if (depth > maxJsonDepth) throw this.#mistake(`nested deeper than ${maxJsonDepth}`);
    this.#skip();
    const first = this.#text[this.#at];
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    if (first === '"') return this.#string();
    const number = this.#match(numberForm);
    if (number !== null) return new JsonNumber(number);
    for (const [word, value] of Object.entries(words)) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    throw this.#mistake('expected a value');
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, Json>();
    this.#at++;
    if (this.#take('}')) return members;
    do {
      this.#skip();
      if (this.#text[this.#at] !== '"') throw this.#mistake('expected a name');
      const name = this.#string();
      if (members.has(name)) throw this.#mistake(`the name ${JSON.stringify(name.slice(0, 50))} comes twice`);
      if (!this.#take(':')) throw this.#mistake('expected `:`');
      members.set(name, this.#value(depth + 1));
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#mistake('expected `,` or `}`');
    return members;
  }

  #array(depth: number): Json[] {
    const items: Json[] = [];
    this.#at++;
    if (this.#take(']')) return items;
    do items.push(this.#value(depth + 1));
    while (this.#take(','));
    if (!this.#take(']')) throw this.#mistake('expected `,` or `]`');
    return items;
  }

  #string(): string {
    const end = this.#endOfString();
    const text = this.#text.slice(this.#at, end);
    this.#at = end;
    return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1);
  }

  /** By pieces: one expression over a string of megabytes would need a stack of that size. */
  #endOfString(): number {
    for (let at = this.#at + 1; at < this.#text.length; at++) {
      const code = this.#text.charCodeAt(at);
      if (code === 34) return at + 1;
      if (code < 32) break;
      if (code !== 92) continue;
      stringEscape.lastIndex = at;
      if (!stringEscape.test(this.#text)) break;
      at = stringEscape.lastIndex - 1;
    }
    throw this.#mistake('a text does not end, or has a character that must be escaped');
  }

  #match(form: RegExp): string | null {
    form.lastIndex = this.#at;
    const match = form.exec(this.#text);
    if (match === null) return null;
    this.#at = form.lastIndex;
    return match[0];
  }

  #skip(): void {
    this.#match(space);
  }

  #take(character: string): boolean {
    this.#skip();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #mistake(message: string): JsonMistake {
    return new JsonMistake(`the body is no JSON: ${message} at position ${this.#at}`);
  }
}
