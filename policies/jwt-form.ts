/**
 * The form of a JWT in compact serialization (RFC 7515 section 7.1), before anybody looks at its signature. Stricter than
 * the libraries: what two readers could read differently is refused, because the service behind may be the other reader.
 */

export interface JwtForm {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Nested deeper than any claims that people use. */
const maxDepth = 32;

/** Header fields that change what the token is: encrypted, compressed, unencoded, nested, or not to be understood. */
const refusedFields = ['crit', 'b64', 'zip', 'enc'] as const;

/** Reads header and claims. Throws a TypeError that says what is wrong, without a word of the token. */
export function parseJwtForm(token: string): JwtForm {
  const parts = token.split('.');
  // Five parts are a JWE (RFC 7516), which nobody here can decrypt.
  if (parts.length !== 3) throw new TypeError('a JWT has three parts');
  const [head = '', body = '', signature = ''] = parts;
  if (signature === '') throw new TypeError('the JWT has no signature');
  decodeBase64Url(signature);
  const header = parseObject(decodeBase64Url(head));
  const claims = parseObject(decodeBase64Url(body));
  for (const name of refusedFields) if (Object.hasOwn(header, name)) throw new TypeError(`the header has ${name}`);
  if (typeof header['alg'] !== 'string') throw new TypeError('the header names no algorithm');
  for (const name of ['kid', 'typ', 'cty'] as const) {
    if (header[name] !== undefined && typeof header[name] !== 'string') throw new TypeError(`${name} is no string`);
  }
  // RFC 7519 section 5.2: what is signed is another token.
  if (String(header['cty'] ?? '').toLowerCase() === 'jwt') throw new TypeError('the JWT is nested');
  return { header, claims };
}

/**
 * RFC 7515 section 2: no padding, no white space. Bits that do not count must be zero (RFC 4648 section 3.5): otherwise
 * one signature has several spellings, and a deny-list or a cache of tokens would miss all but one.
 */
function decodeBase64Url(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw new TypeError('the encoding is not plain base64url');
  return bytes;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  const text = readText(bytes);
  const value = readJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('it is no JSON object');
  assertDistinct(text);
  return value as Record<string, unknown>;
}

function readText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new TypeError('it is not UTF-8');
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The error of the parser quotes the text.
    throw new TypeError('it is no JSON');
  }
}

/**
 * That no member comes twice in an object, at any depth (RFC 7519 section 4; I-JSON, RFC 7493 section 2.3). The text is
 * JSON already, so its strings and brackets are all that has to be looked at.
 */
function assertDistinct(text: string): void {
  const open: (Set<string> | null)[] = [];
  for (const [token, member] of text.matchAll(/("(?:[^"\\]|\\.)*")(?=[ \t\r\n]*:)|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === '{' || token === '[') {
      if (open.push(token === '{' ? new Set() : null) > maxDepth) throw new TypeError('it is nested too deep');
    } else if (token === '}' || token === ']') open.pop();
    else if (member !== undefined) {
      const names = open.at(-1);
      // Two spellings of one name are one name.
      const name = JSON.parse(member) as string;
      if (names?.has(name)) throw new TypeError('a member comes twice');
      names?.add(name);
    }
  }
}
