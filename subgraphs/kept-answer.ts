/** A kept answer on its way out: whole, as a part of it, or as the mere word that the client has it already. */
import { withoutTagHeaders } from '../policies/answer-tags.ts';
import type { HttpCacheRule } from '../policies/cache-options.ts';
import { type CacheStatus, formatCacheStatus } from '../policies/cache-status.ts';
import type { StoredHead } from '../policies/http-caching.ts';
import { isNotModified, notModifiedHeaders } from '../policies/http-conditions.ts';
import { filterHeaders, toHeaderMap } from '../policies/http-headers.ts';
import { chooseRange } from '../policies/http-ranges.ts';
import type { KeptAnswer } from './cached-receiver.ts';
import type { Receiver } from './call.ts';
import { withHead } from './watched-head.ts';

/** What the client gets. */
export interface GivenAnswer {
  readonly status: number;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

const nothing = Buffer.alloc(0);

/** What a GET or HEAD with these headers (in lower case) gets of it. Conditions come before ranges (RFC 9110 13.2.2). */
export function buildGivenAnswer(
  { head, body }: Pick<KeptAnswer, 'head' | 'body'>,
  method: string,
  asked: Readonly<Record<string, string>>,
): GivenAnswer {
  if (head.status !== 200) return { status: head.status, rawHeaders: withLength(head, body.length), body };
  const known = toHeaderMap(head.rawHeaders);
  if (isNotModified(asked, known)) {
    return { status: 304, rawHeaders: notModifiedHeaders(head.rawHeaders), body: nothing };
  }
  // RFC 9110 section 14.2: a Range means something in a GET only.
  const range = method === 'GET' ? chooseRange(asked, known, body.length) : ({ kind: 'whole' } as const);
  if (range.kind === 'whole') return { status: 200, rawHeaders: withLength(head, body.length), body };
  if (range.kind === 'unsatisfiable') {
    // Nothing of the answer's own: a cache on the way would keep this refusal under the address of the whole.
    const about = ['content-range', `bytes */${body.length}`, 'content-length', '0', 'cache-control', 'no-store'];
    return { status: 416, rawHeaders: about, body: nothing };
  }
  const part = body.subarray(range.first, range.last + 1);
  const about = ['content-range', `bytes ${range.first}-${range.last}/${body.length}`];
  return { status: 206, rawHeaders: [...withLength(head, part.length), ...about], body: part };
}

/** The length is known now, also of a body that came in chunks. A 204 has none (RFC 9110 section 8.6). */
function withLength({ status, rawHeaders }: StoredHead, sizeBytes: number): string[] {
  const others = filterHeaders(rawHeaders, (name) => name !== 'content-length');
  return status === 204 ? others : [...others, 'content-length', String(sizeBytes)];
}

/** Tells what the cache did with an answer that only passes. */
export function withCacheStatus(receiver: Receiver, { hidesTags }: HttpCacheRule, status: CacheStatus): Receiver {
  return withHead(receiver, (code, raw, flow) => {
    const visible = hidesTags ? withoutTagHeaders(raw) : raw;
    receiver.onHead(code, [...visible, 'cache-status', formatCacheStatus(status)], flow);
  });
}
