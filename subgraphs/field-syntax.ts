/** What names and values of fields are made of (RFC 9110 section 5). */

const isTokenCode = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  isTokenCode[char.charCodeAt(0)] = 1;
}

/** RFC 9110 section 5.6.2. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (isTokenCode[text.charCodeAt(i)] !== 1) return false;
  }
  return text.length > 0;
}

/** Bytes, one for each character, of which none is a control but tabs. */
export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 32 && code !== 9) || code === 127 || code > 255) return false;
  }
  return true;
}

const wellFormedLines = /^(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*$/;

/**
 * Whether a text is so many lines of `name: value`, each with its CRLF. To look at all at once costs half of what a look at each
 * name and value does; a line break inside of one makes a line too many.
 */
export function areFieldLines(text: string, count: number): boolean {
  if (!wellFormedLines.test(text)) return false;
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines++;
  return lines === count;
}
