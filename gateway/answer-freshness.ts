/** What caches on the way to a client are told of a GraphQL answer (RFC 9111), and conditional requests for one. */
import { createHash } from 'node:crypto';
import { isNotModified, notModifiedHeaders } from '../policies/http-conditions.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { mergeCacheControl } from '../policies/service-headers.ts';

export interface FreshAnswer {
  readonly status: number;
  readonly headers: string[];
  readonly text: string;
}

const noStore = ['cache-control', 'no-store'];
const isOther = (name: string): boolean => name !== 'cache-control';

/**
 * The answer with its `Cache-Control`; what services say there, where that reaches clients, may only make it stricter. A GET gets an `ETag` too, and a client that has the answer a 304; the tag is a weak
 * one, because the same data may come in several media types. A batch is several answers, and none of them.
 */
export function withFreshness({ status, headers, text }: FreshAnswer, context: RequestContext): FreshAnswer {
  const { freshness } = context;
  if (freshness === undefined || status !== 200 || text.startsWith('[')) {
    return { status, headers: [...filterHeaders(headers, isOther), ...noStore], text };
  }
  const others = filterHeaders(headers, isOther);
  const said = listValues(headers, 'cache-control');
  const { maxAgeMs, ageMs, isPrivate, vary } = freshness;
  const control = `max-age=${Math.floor(maxAgeMs / 1_000)}, ${isPrivate ? 'private' : 'public'}`;
  const own = [
    'cache-control',
    said.length === 0 ? control : mergeCacheControl([control, ...said]),
    'age',
    String(Math.floor(ageMs / 1_000)),
    'vary',
    [...new Set(['accept', ...vary])].join(', '),
  ];
  if (context.method !== 'GET') return { status, headers: [...others, ...own], text };
  const etag = `W/"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  const all = [...others, ...own, 'etag', etag];
  const { 'if-none-match': condition } = context.headers;
  if (condition === undefined || !isNotModified({ 'if-none-match': condition }, { etag })) {
    return { status, headers: all, text };
  }
  return { status: 304, headers: notModifiedHeaders(all), text: '' };
}

function listValues(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
}
