/** Conditional requests (RFC 9110 section 13) against an answer that is at hand. */
import { filterHeaders } from './http-headers.ts';

type Headers = Readonly<Record<string, string | undefined>>;

const ofTheBody: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-type',
  'transfer-encoding',
]);

/** Whether a client that has what its request names needs no body (RFC 9110 section 13.2.2, steps 3 and 4). */
export function isNotModified(request: Headers, answer: Headers): boolean {
  const tags = request['if-none-match'];
  if (tags !== undefined) {
    const { etag } = answer;
    // RFC 9110 section 13.1.2: by weak comparison.
    return tags.trim() === '*' || (etag !== undefined && listTags(tags).includes(stripWeakness(etag.trim())));
  }
  const since = parseDate(request['if-modified-since']);
  const modified = parseDate(answer['last-modified']);
  return since !== null && modified !== null && modified <= since;
}

/** Whether two entity tags name the same by weak comparison. */
export function matchesWeakly(a: string, b: string): boolean {
  return stripWeakness(a.trim()) === stripWeakness(b.trim());
}

/** The fields of an answer that a 304 in its place carries (RFC 9110 section 15.4.5): nothing about the body. */
export function notModifiedHeaders(raw: readonly string[]): string[] {
  return filterHeaders(raw, (name) => !ofTheBody.has(name));
}

function listTags(value: string): string[] {
  return [...value.matchAll(/(?:W\/)?"[^"]*"/g)].map(([tag]) => stripWeakness(tag));
}

function stripWeakness(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}

function parseDate(text: string | undefined): number | null {
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? null : time;
}
