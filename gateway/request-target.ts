/**
 * The request target (RFC 9112 section 3.2), checked once before anything is decided on it. What the gateway matches and
 * what a service sees are the same bytes, so everything that a service might read differently is refused: dot segments,
 * encoded slashes and backslashes, empty segments. (RFC 3986 section 6.2.2 lets servers normalize all of them.)
 */
import { GatewayError } from '../policies/errors.ts';

export interface RequestTarget {
  /** The raw path, beginning with a slash. */
  readonly path: string;
  /** The raw query with its question mark; empty when there is none. */
  readonly query: string;
}

// Printable ASCII but for the characters that no URL holds and some servers mend: " < > \ ^ ` { | }.
const allowedCharacters = /^[!$%&'()*+,\-./0-9:;=?@A-Z[\]_a-z~]+$/;
const dotSegment = /\/(?:\.|%2e){1,2}(?=[/;]|%3b|$)/i;
const hiddenSeparator = /%(?:2f|5c|00)/i;
const absoluteForm = /^(https?):\/\/([^/?#]*)/i;
/** Bytes that no UTF-8 has, and longer spellings of what has a shorter one (RFC 3629 section 3). */
const overlong = /%(?:c[01]|f[5-9a-f]|e0%[89]|f0%8)/i;
const brokenEscape = /%(?![0-9a-f]{2})/i;

/** Splits and checks a target; `host` is what the request says of it elsewhere. Throws BAD_REQUEST. */
export function parseRequestTarget(target: string, host?: string): RequestTarget {
  const local = target.charCodeAt(0) === 0x2f ? target : takeAbsolute(target, host);
  const text = local === '' || local.startsWith('?') ? `/${local}` : local;
  // No fragment is ever sent (RFC 9112 section 3.2.1); servers differ in where they cut one off.
  if (text.includes('#')) throw new GatewayError('BAD_REQUEST', 'The request target holds a fragment');
  const cut = text.indexOf('?');
  const path = cut < 0 ? text : text.slice(0, cut);
  if (path.charCodeAt(0) !== 0x2f) throw new GatewayError('BAD_REQUEST', 'The request target must be a path');
  assertPlainPath(path);
  return { path, query: cut < 0 ? '' : text.slice(cut) };
}

/**
 * The absolute form without its authority. A proxy must take that form and must go by its authority (RFC 9112 section
 * 3.2.2); a client must send the same as Host. Where they differ somebody on the way believes the other one: refused.
 */
function takeAbsolute(target: string, host: string | undefined): string {
  const match = absoluteForm.exec(target);
  if (match === null) return target;
  const [whole, scheme = '', authority = ''] = match;
  if (authority === '' || authority.includes('@')) {
    throw new GatewayError('BAD_REQUEST', 'The request target needs a host, without user information');
  }
  const standard = scheme.toLowerCase() === 'https' ? ':443' : ':80';
  const plain = (text: string): string => text.toLowerCase().replace(new RegExp(`${standard}$`), '');
  if (host !== undefined && plain(authority) !== plain(host)) {
    throw new GatewayError('BAD_REQUEST', 'Host is another one than that of the request target');
  }
  return target.slice(whole.length);
}

function assertPlainPath(path: string): void {
  if (!allowedCharacters.test(path)) {
    throw new GatewayError('BAD_REQUEST', 'The path holds a character that must be percent-encoded');
  }
  if (path.includes('//')) throw new GatewayError('BAD_REQUEST', 'The path holds an empty segment');
  if (path.includes('.') || path.includes('%')) {
    if (dotSegment.test(path)) throw new GatewayError('BAD_REQUEST', 'The path holds a dot segment');
    if (hiddenSeparator.test(path)) {
      throw new GatewayError('BAD_REQUEST', 'The path holds an encoded slash, backslash or NUL');
    }
    if (brokenEscape.test(path) || overlong.test(path)) {
      throw new GatewayError('BAD_REQUEST', 'The path holds a percent sign that encodes nothing');
    }
  }
}
