/** What the choice of an instance may know of a request: read only by the algorithms that ask, so it costs others nothing. */
import type { RequestContext } from '../policies/request-context.ts';
import type { HashSource } from './load-balancing-options.ts';

/** The part of a request's context that a choice may look at. */
export type BalancingSubject = Pick<RequestContext, 'headers' | 'client' | 'viewer'>;

/** Reads the key of a consistent hash; undefined where a request has none. */
export type KeyReader = (subject: BalancingSubject) => string | undefined;

/** A reader of what `source` names. */
export function buildBalancingKey({ from, name }: HashSource): KeyReader {
  switch (from) {
    case 'ip':
      return ({ client }) => client.address;
    case 'header':
      return ({ headers }) => readHeader(headers[name]);
    case 'cookie':
      return ({ headers }) => readCookie(headers.cookie, name);
    case 'claim':
      return ({ viewer }) => readClaim(viewer?.claims, name);
  }
}

function readHeader(value: string | string[] | undefined): string | undefined {
  const text = Array.isArray(value) ? value[0] : value;
  return text === '' ? undefined : text;
}

function readClaim(claims: Readonly<Record<string, unknown>> | undefined, name: string): string | undefined {
  if (claims === undefined || !Object.hasOwn(claims, name)) return undefined;
  const value = claims[name];
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The value of the first cookie of a name (RFC 6265 section 4.2.1); undefined when it is missing or empty. */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  for (let at = header.indexOf(name); at !== -1; at = header.indexOf(name, at + 1)) {
    const before = at === 0 ? ';' : header[at - 1];
    if ((before !== ';' && before !== ' ') || header[at + name.length] !== '=') continue;
    const from = at + name.length + 1;
    const end = header.indexOf(';', from);
    const value = header.slice(from, end === -1 ? undefined : end).trim();
    return value === '' ? undefined : value;
  }
  return undefined;
}

/** 32 bits of a text (FNV-1a, then mixed): quick, the same at every gateway, and no protection against anybody. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mixBits(hash);
}

/** Spreads every bit over all 32 (the finalizer of MurmurHash3). */
export function mixBits(bits: number): number {
  let mixed = bits;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
