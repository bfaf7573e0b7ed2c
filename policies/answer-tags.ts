/** Tags that services give to their answers, as Fastly's `Surrogate-Key` and Cloudflare's `Cache-Tag` do. */
import { filterHeaders, toHeaderMap } from './http-headers.ts';

/** Most tags of one answer, and the longest one. What is more or longer is left out. */
const maxTags = 64;
const maxTagLength = 256;

/** The tags in the headers of an answer. `Cache-Tag` separates them by commas, `Surrogate-Key` by spaces. */
export function readAnswerTags(rawHeaders: readonly string[]): string[] {
  const { 'cache-tag': byCommas, 'surrogate-key': bySpaces } = toHeaderMap(rawHeaders);
  if (byCommas === undefined && bySpaces === undefined) return [];
  const named = [...(byCommas?.split(',') ?? []), ...(bySpaces?.split(/[\s,]+/) ?? [])].map((tag) => tag.trim());
  return [...new Set(named)].filter((tag) => tag !== '' && tag.length <= maxTagLength).slice(0, maxTags);
}

/** The headers without those that carry tags. */
export function withoutTagHeaders(rawHeaders: readonly string[]): string[] {
  return filterHeaders(rawHeaders, (name) => name !== 'cache-tag' && name !== 'surrogate-key');
}
