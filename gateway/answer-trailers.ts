/** Trailers of answers (RFC 9110 section 6.5): for clients that asked for them, where the framing has a place for them. */
import type { IncomingMessage } from 'node:http';

/** Fields that must not come late: framing, routing, credentials, and what says how to read the body. */
const neverTrailing: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'expires',
  'host',
  'keep-alive',
  'location',
  'proxy-authenticate',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'warning',
  'www-authenticate',
]);

/** Whether the answer can end in trailers that its client reads. */
export function takesTrailers(request: IncomingMessage, status: number, headers: readonly string[]): boolean {
  if (request.httpVersion === '1.0' || request.method === 'HEAD' || status === 204 || status === 304) return false;
  const wanted = request.headers['te'];
  if (wanted === undefined || !/(?:^|,)\s*trailers\s*(?:,|$)/i.test(String(wanted))) return false;
  for (let i = 0; i < headers.length; i += 2) if (headers[i]?.toLowerCase() === 'content-length') return false;
  return true;
}

/** Pairs of name and value that may go out. */
export function pickTrailers(trailers: readonly string[]): [string, string][] {
  const kept: [string, string][] = [];
  for (let i = 0; i + 1 < trailers.length; i += 2) {
    const name = trailers[i] ?? '';
    if (!neverTrailing.has(name.toLowerCase())) kept.push([name, trailers[i + 1] ?? '']);
  }
  return kept;
}

/**
 * In place, what the framing of the answer has no room for: Node takes an announcement of trailers that cannot follow
 * for a fault of ours, and 204 has no length (RFC 9110 section 8.6).
 */
export function dropMisplaced(headers: string[], status: number, trailing: boolean): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    const { length = 0 } = headers[i] ?? '';
    if (length !== 7 && length !== 14) continue;
    const name = headers[i]?.toLowerCase();
    if ((name === 'trailer' && !trailing) || (name === 'content-length' && status === 204)) headers.splice(i, 2);
  }
}
