/** Which header fields cross the gateway, and which it adds. */
import { renderForwarded } from '../policies/forwarded.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { hopByHop, isHeldBack } from '../policies/reserved-headers.ts';
import { viewerFieldsOf } from '../policies/viewer-headers.ts';

/** Trace context, version 00 or later, without the all-zero ids (W3C Trace Context section 3.2.2). */
const wellFormedTraceparent = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;

/**
 * The fields of a client's request that may go to a service, in their order and spelling. What the gateway says itself
 * ({@link gatewayHeaders}) can never come from a client, also not spelled with underscores: services that turn fields
 * into variables (CGI, RFC 3875 section 4.1.18) cannot tell `x_user_id` from `x-user-id`.
 */
export function endToEndHeaders(rawHeaders: readonly string[]): string[] {
  const named = connectionOptions(rawHeaders);
  const kept: string[] = [];
  let authorized = false;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    const lowerCase = name.toLowerCase();
    if (named?.has(lowerCase) || isHeldBack(lowerCase)) continue;
    if (lowerCase === 'authorization') {
      // Node reads the first of several, and so did our authentication: a service must not believe another one.
      if (authorized) continue;
      authorized = true;
    }
    if (lowerCase === 'traceparent' && !wellFormedTraceparent.test(value)) continue;
    kept.push(name, value);
  }
  return kept;
}

/** The fields of a service's answer that may go to the client, in their order and spelling, Set-Cookie one by one. */
export function endToEndResponseHeaders(rawHeaders: readonly string[]): string[] {
  const named = connectionOptions(rawHeaders);
  const kept: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const lowerCase = name.toLowerCase();
    if (named?.has(lowerCase) || hopByHop.has(lowerCase)) continue;
    kept.push(name, rawHeaders[i + 1] ?? '');
  }
  return kept;
}

/** What the gateway tells a service about a request: names and values in turn, all in lower case. */
export function gatewayHeaders(context: RequestContext, remainingMs: number): string[] {
  const { client } = context;
  const via = context.headers.via;
  // Never 1.0: what our server accepts it answers as 1.1 (RFC 9110 section 7.6.3).
  const hop = context.httpVersion === '2.0' ? '2.0 selvage' : '1.1 selvage';
  const headers = [
    'via',
    via === undefined ? hop : continueVia(via, hop),
    'forwarded',
    client.forwarded ?? renderForwarded(client),
    'x-forwarded-for',
    client.forwardedFor,
    'x-forwarded-host',
    client.host,
    'x-forwarded-proto',
    client.protocol,
    'x-request-id',
    context.id,
  ];
  if (Number.isFinite(remainingMs)) headers.push('x-request-timeout-ms', String(Math.max(0, Math.floor(remainingMs))));
  if (context.viewer !== null) headers.push(...viewerFieldsOf(context));
  return headers;
}

/** RFC 9110 section 5.6.1: empty elements, such as empty fields leave behind, are not passed on. */
function continueVia(via: string, hop: string): string {
  return [...via.split(',').map((element) => element.trim()), hop].filter((element) => element !== '').join(', ');
}

/** The names in `Connection`, or undefined when there are none but those dropped anyway. */
function connectionOptions(rawHeaders: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    const value = (rawHeaders[i + 1] ?? '').toLowerCase();
    if (value === 'keep-alive' || value === 'close') continue;
    named ??= new Set();
    for (const option of value.split(',')) named.add(option.trim());
  }
  return named;
}
