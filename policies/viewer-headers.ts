/** How services learn who is asking: headers that only the gateway sets. */
import type { RequestContext, Viewer } from './request-context.ts';

/**
 * The viewer as a flat list of names and values. Roles are separated by commas, scopes by spaces; every value, or item of
 * a list, decodes with `decodeURIComponent`. `x-user-issuer` tells equal ids apart: two issuers may use the same `sub`,
 * and without an issuer the id is the name of an API key.
 */
export function viewerHeaders(viewer: Viewer | null): string[] {
  if (viewer === null) return [];
  const headers = ['x-user-id', encode(viewer.id)];
  if (viewer.issuer !== undefined) headers.push('x-user-issuer', encode(viewer.issuer));
  if (viewer.roles.length > 0) headers.push('x-user-roles', viewer.roles.map(encode).join(','));
  if (viewer.scopes.size > 0) headers.push('x-user-scopes', [...viewer.scopes].map(encode).join(' '));
  return headers;
}

/** What services are told of the viewer of a request. */
export function viewerFieldsOf({ viewer, viewerFields }: RequestContext): readonly string[] {
  return viewer === null ? [] : (viewerFields ?? viewerHeaders(viewer));
}

/**
 * Whether a header a client sent would pass for one of these. CGI and its heirs turn `-` into `_` (RFC 3875 section
 * 4.1.18), some every character that is neither letter nor digit: behind them `x_user.id` is the same header.
 */
export function isViewerHeader(lowerCaseName: string): boolean {
  return /^x[^a-z0-9]user[^a-z0-9](?:id|issuer|roles|scopes|token)$/.test(lowerCaseName);
}

/** Percent-encodes what is not VCHAR (RFC 9110 section 5.5), and the comma and percent sign that would be ambiguous. */
function encode(value: string): string {
  return value.toWellFormed().replace(/[^\x21-\x7e]|[%,]/gu, encodeURIComponent);
}
