/** `Cache-Control` (RFC 9111 section 5.2) as a shared cache should read it. */

/** Directives by name, in lower case. A directive without a value has an empty one. */
export type CacheControl = ReadonlyMap<string, string>;

const seconds: ReadonlySet<string> = new Set([
  'max-age',
  's-maxage',
  'min-fresh',
  'max-stale',
  'stale-while-revalidate',
  'stale-if-error',
]);
/** RFC 9111 section 1.2.2: what cannot be represented is this much. */
const manySeconds = 2_147_483_648;

/**
 * Names count in any case, which http-cache-semantics does not do: it would keep what says `No-Store`. Of a number that
 * stands there twice the lower one counts, and one that cannot be read is 0 (RFC 9111 section 4.2.1: then it is stale).
 */
export function parseCacheControl(value: string | undefined): CacheControl {
  const directives = new Map<string, string>();
  for (const [, name = '', quoted, token] of (value ?? '').matchAll(
    /([^\s,="]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s,]*)))?/g,
  )) {
    const key = name.toLowerCase();
    const given = quoted ?? token;
    if (!seconds.has(key)) directives.set(key, given ?? '');
    // Without a value `max-stale` takes any age; the others mean nothing then.
    else if (given === undefined && key === 'max-stale') directives.set(key, String(manySeconds));
    else directives.set(key, String(Math.min(readSeconds(given), Number(directives.get(key) ?? manySeconds))));
  }
  return directives;
}

function readSeconds(text: string | undefined): number {
  return text !== undefined && /^\d+$/.test(text) ? Math.min(Number(text), manySeconds) : 0;
}

/** As a header again. */
export function formatCacheControl(directives: CacheControl): string {
  return [...directives].map(([name, value]) => (value === '' ? name : `${name}=${value}`)).join(', ');
}

/** Milliseconds of a directive; undefined where it is not given. */
export function readMs(directives: CacheControl, name: string): number | undefined {
  const value = directives.get(name);
  return value === undefined ? undefined : Number(value) * 1_000;
}
