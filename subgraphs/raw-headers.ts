/** Header fields as undici has them. */
import type { Dispatcher } from 'undici';
import { parseRetryAfterMs } from '../policies/retry-after.ts';

type RawHeaders = Dispatcher.DispatchController['rawHeaders'];

/** What `Retry-After` asks for; undefined where there is none. */
export function readRetryAfterMs(rawHeaders: readonly string[]): number | undefined {
  return parseRetryAfterMs(findHeader(rawHeaders, 'retry-after'));
}

/** The first field of a name, which is given in lower case. */
export function findHeader(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.length === name.length && headers[i]?.toLowerCase() === name) return headers[i + 1];
  }
  return undefined;
}

/** Header fields hold bytes; latin1 keeps them one by one (RFC 9110 section 5.5, obs-text). */
export function toStrings(raw: RawHeaders): string[] {
  if (!Array.isArray(raw)) return raw == null ? [] : fieldsOf(raw);
  return raw.map((item: Buffer | string) => (typeof item === 'string' ? item : item.toString('latin1')));
}

/** Of HTTP/2 undici hands out what Node made of the fields: an object. */
function fieldsOf(headers: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith(':') ? [] : [value].flat().flatMap((one) => [name, String(one)]),
  );
}
