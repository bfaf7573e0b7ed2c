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
const dotSegment = /\/(?:\.|%2e){1,2}(?=[/;]|$)/i;
const hiddenSeparator = /%(?:2f|5c|00)/i;
const absoluteForm = /^https?:\/\/[^/?#]*/i;

/** Splits and checks a target. Throws BAD_REQUEST. */
export function parseRequestTarget(target: string): RequestTarget {
  // A proxy must accept the absolute form (RFC 9112 section 3.2.2); its authority counts no more than Host does here.
  const local = target.startsWith('/') ? target : target.replace(absoluteForm, '');
  const text = local === '' || local.startsWith('?') ? `/${local}` : local;
  const cut = text.indexOf('?');
  const path = cut < 0 ? text : text.slice(0, cut);
  if (path.charCodeAt(0) !== 0x2f) throw new GatewayError('BAD_REQUEST', 'The request target must be a path');
  assertPlainPath(path);
  return { path, query: cut < 0 ? '' : text.slice(cut) };
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
  }
}
