/** Which requests are the same for a cache. Keys are hashes: what a request holds of secrets stays out of stores. */
import { createHash } from 'node:crypto';
import type { CacheableRequest } from '../policies/http-caching.ts';
import { toHeaderMap } from '../policies/http-headers.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { describeToken, viewerTokenHeader } from '../policies/viewer-token.ts';
import type { CallRequest } from './call.ts';
import { gatewayHeaders } from './forwarding.ts';

export interface CacheRequest extends CacheableRequest {
  readonly primaryKey: string;
  /** Whether it has conditions that a kept answer can meet. */
  readonly isConditional: boolean;
}

/** Fields that are different each time: what depends on them is for one request only. */
const ofOneExchange: ReadonlySet<string> = new Set([
  'forwarded',
  'traceparent',
  'via',
  'x-request-id',
  'x-request-timeout-ms',
]);

/**
 * The request as the service sees it. The host that the client asked for is part of the key, because services build
 * links from it: else one client could choose what others find in theirs.
 */
export function buildCacheRequest(request: CallRequest, context: RequestContext): CacheRequest {
  const { client, viewer } = context;
  const headers = toHeaderMap([...request.headers, ...gatewayHeaders(context, Number.POSITIVE_INFINITY)]);
  const token = headers[viewerTokenHeader];
  // Told apart is who it is, and not when the token was made.
  if (token !== undefined && viewer !== null) headers[viewerTokenHeader] = describeToken(token);
  const { protocol, host } = client;
  const shape = request.reshape?.key;
  return {
    headers,
    primaryKey: `h:${hash([request.service, protocol, host.toLowerCase(), request.path, headers['host'] ?? null, { variant: request.variant, routedBy: request.routedBy, shape }])}`,
    credentialed: request.credentialed === true || viewer !== null || 'authorization' in headers || 'cookie' in headers,
    isConditional: 'if-none-match' in headers || 'if-modified-since' in headers,
  };
}

/** The key of the answer for these headers; that of the address alone where nothing varies. */
export function variantKey(
  primaryKey: string,
  vary: readonly string[],
  headers: Readonly<Record<string, string>>,
): string {
  if (vary.length === 0) return primaryKey;
  return `h:${hash([primaryKey, ...vary.map((name) => [name, headers[name] ?? null])])}`;
}

/** Whether an answer depends on what no two requests have in common. */
export function isVariesByExchange(vary: readonly string[]): boolean {
  return vary.some((name) => ofOneExchange.has(name));
}

function hash(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
