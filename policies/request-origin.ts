/**
 * Defence against cross-site request forgery: a browser adds cookies by itself, whichever page makes it send the
 * request. So a request that may change something, and has nothing but a cookie to show, must come from a page of ours.
 */
import { GatewayError } from './errors.ts';

/** What is looked at of a request. */
export interface OriginSubject {
  readonly method: string;
  /** The authority that the client asked for. */
  readonly host: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** Methods that change nothing (RFC 9110 section 9.2.1). */
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Throws FORBIDDEN for a request that another site may have caused. `Sec-Fetch-Site` is believed first, since no page can
 * set it; `same-site` is not enough, as other hosts of a site are often other people's. Browsers without it name the
 * `Origin` of everything but GET and HEAD. What names neither is no browser of today: it can send its token as a header.
 */
export function assertOwnOrigin(subject: OriginSubject, trustedOrigins: Origins): void {
  const { method, headers } = subject;
  // A WebSocket is opened by GET, from any page, with cookies.
  if (safeMethods.has(method) && headers['upgrade'] === undefined) return;
  if (readSite(subject, trustedOrigins) === 'own') return;
  throw new GatewayError(
    'FORBIDDEN',
    'A request with a cookie must come from a page of this origin (Origin, Sec-Fetch-Site)',
  );
}

/** Origins of pages that are trusted like our own. */
export interface Origins {
  has(origin: string): boolean;
}

/** Whose page caused a request: ours, or the browser's user by hand; that of somebody else; or nobody says so. */
export function readSite({ headers, host }: OriginSubject, trustedOrigins: Origins): 'own' | 'other' | 'unknown' {
  const site = headers['sec-fetch-site'];
  if (site === 'same-origin' || site === 'none') return 'own';
  const { origin } = headers;
  if (typeof origin === 'string' && trustedOrigins.has(origin)) return 'own';
  if (site !== undefined) return 'other';
  if (typeof origin !== 'string') return 'unknown';
  return isOriginOf(origin, host) ? 'own' : 'other';
}

/** The scheme is not compared: behind a proxy that ends TLS, and is not trusted, it cannot be known. */
function isOriginOf(origin: string, host: string | undefined): boolean {
  return host !== undefined && /^https?:\/\//.test(origin) && origin.slice(origin.indexOf('//') + 2) === host;
}
