/** Cookies of a request (RFC 6265), as far as authentication reads them. */
import { GatewayError } from './errors.ts';

/** JSON Schema pattern of a cookie's name: a token (RFC 9110 section 5.6.2). */
export const cookieNamePattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$";

/**
 * The value of a cookie; undefined without one. Throws UNAUTHENTICATED where the name comes twice: another host of the
 * same site can set a cookie of the same name for a longer path, and would choose by that who the viewer is.
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined || !header.includes(name)) return undefined;
  let value: string | undefined;
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    if (value !== undefined) throw new GatewayError('UNAUTHENTICATED', `The cookie ${name} comes twice`);
    value = unquote(pair.slice(equals + 1).trim());
  }
  // Servers that take a cookie back often leave it empty.
  return value === '' ? undefined : value;
}

/** RFC 6265 section 4.1.1: a value may stand in double quotes. */
function unquote(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}
