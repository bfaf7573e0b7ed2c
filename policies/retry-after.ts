/** `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date. */

/** Milliseconds from now; undefined for what is neither. A moment that has passed is no time at all. */
export function parseRetryAfterMs(value: string | undefined, epochMs: number = Date.now()): number | undefined {
  const text = value?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  // Node reads a bare number as a year; dates of HTTP begin with the day of the week (section 5.6.7).
  const dateMs = /^[A-Z][a-z]+, /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - epochMs);
}
