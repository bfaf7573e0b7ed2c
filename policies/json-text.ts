/**
 * JSON from outside, read so that nobody else can read something different in it, and JSON written up to a size. Whole
 * numbers that a double cannot hold keep their digits: they are `bigint` in between.
 */

/** What is wrong with a text. Its message may be told to whoever sent it. */
export class TextMistake extends Error {
  override readonly name = 'TextMistake';
}

/** Levels of objects and lists in a body. */
export const maxBodyDepth = 64;

/** Reads a body. Throws a {@link TextMistake}. Without `keepsDigits` all numbers are doubles. */
export function parseJson(bytes: Uint8Array, keepsDigits = true): unknown {
  const text = decodeUtf8(bytes);
  try {
    const value: unknown = JSON.parse(text);
    assertUnambiguous(text);
    // `JSON.parse` with a reviver goes as deep as the text, on the stack; so only when its depth is known.
    return keepsDigits && /\d{16}/.test(text) ? JSON.parse(text, keepDigits) : value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new TextMistake('The body is no JSON', { cause: error });
  }
}

/** Throws a {@link TextMistake} where bytes are no UTF-8 (RFC 8259 section 8.1). A byte order mark is dropped. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new TextMistake('The body is not encoded in UTF-8', { cause: error });
  }
}

function keepDigits(_key: string, value: unknown, { source }: { source?: string } = {}): unknown {
  const isWhole = typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? '');
  return isWhole ? BigInt(source ?? 0) : value;
}

/**
 * Of a text that is JSON: that it is not too deep, and that no object says the same name twice. Which of both counts is
 * left open (RFC 8259 section 4), so a service could act on the one that was not looked at here.
 */
function assertUnambiguous(text: string): void {
  const open: (Set<string> | null)[] = [];
  let names: Set<string> | null = null;
  let awaitsName = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') {
      const end = findStringEnd(text, at);
      if (awaitsName) noteName(names, text.slice(at, end + 1));
      awaitsName = false;
      at = end;
    } else if (char === '{' || char === '[') {
      names = char === '{' ? new Set() : null;
      if (open.push(names) > maxBodyDepth) throw new TextMistake(`The body has more than ${maxBodyDepth} levels`);
      awaitsName = names !== null;
    } else if (char === '}' || char === ']') {
      open.pop();
      names = open.at(-1) ?? null;
      awaitsName = false;
    } else if (char === ',') awaitsName = names !== null;
  }
}

function findStringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

function noteName(names: Set<string> | null, quoted: string): void {
  const name = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
  if (names?.has(name) === true) throw new TextMistake('The body has an object with the same name twice');
  names?.add(name);
}

/** Thrown by {@link writeJson}. */
export class TextTooLong extends Error {
  override readonly name = 'TextTooLong';
}

/**
 * Writes a value. An expression can give the same large part very often, so what comes out is counted while it is written:
 * throws {@link TextTooLong} after `maxBytes`.
 */
export function writeJson(value: unknown, maxBytes: number): string {
  const parts: string[] = [];
  let left = maxBytes;
  const put = (part: string): void => {
    left -= part.length;
    if (left < 0) throw new TextTooLong();
    parts.push(part);
  };
  writeValue(value, put);
  const text = parts.join('');
  // Characters were counted; a few take more bytes.
  if (Buffer.byteLength(text) > maxBytes) throw new TextTooLong();
  return text;
}

function writeValue(value: unknown, put: (part: string) => void): void {
  if (Array.isArray(value)) {
    put('[');
    value.forEach((item, index) => {
      if (index > 0) put(',');
      writeValue(item, put);
    });
    put(']');
  } else if (typeof value === 'bigint') put(String(value));
  else if (value instanceof Uint8Array) put(JSON.stringify(Buffer.from(value).toString('base64')));
  else if (typeof value === 'object' && value !== null && !(value instanceof Date)) {
    put('{');
    writeEntries(value instanceof Map ? [...value] : Object.entries(value), put);
    put('}');
  } else put(JSON.stringify(value ?? null) ?? 'null');
}

function writeEntries(entries: readonly [unknown, unknown][], put: (part: string) => void): void {
  let isFirst = true;
  for (const [key, value] of entries) {
    if (value === undefined) continue;
    put(`${isFirst ? '' : ','}${JSON.stringify(String(key))}:`);
    isFirst = false;
    writeValue(value, put);
  }
}
