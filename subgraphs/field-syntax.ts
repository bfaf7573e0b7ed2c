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
