/** Who a rate limit counts: keys of bounded length that hold no secret and that a client cannot make up. */
import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import type { Viewer } from './request-context.ts';

/** What a rule may look at. */
export interface RateLimitSubject {
  readonly viewer: Viewer | null;
  /** IP address of the client. */
  readonly address: string;
  readonly headers: IncomingHttpHeaders;
}

type KeyReader = (subject: RateLimitSubject) => string;

/** A reader for `viewer`, `ip`, `api-key` or `header:NAME`. What a request does not have is replaced by its address. */
export function buildKeyReader(prefix: string, key: string): KeyReader {
  if (key === 'ip') return ({ address }) => prefix + addressKey(address);
  if (key === 'api-key') {
    return ({ viewer, address }) =>
      prefix + (viewer?.kind === 'api-key' ? `k:${boundedName(viewer.id)}` : addressKey(address));
  }
  if (key.startsWith('header:')) {
    const name = key.slice('header:'.length).toLowerCase();
    return ({ headers, address }) => prefix + (headerKey(headers[name]) ?? addressKey(address));
  }
  return ({ viewer, address }) => prefix + (viewer === null ? addressKey(address) : viewerKey(viewer));
}

function viewerKey(viewer: Viewer): string {
  if (viewer.kind === 'api-key') return `k:${boundedName(viewer.id)}`;
  // The length keeps issuer and subject apart: no pair of them reads like another.
  const issuer = viewer.issuer ?? '';
  return `v:${digest(`${issuer.length}:${issuer}${viewer.id}`)}`;
}

/** Header values are hashed always: a rule may count by one that holds a credential. */
function headerKey(value: string | string[] | undefined): string | undefined {
  const text = typeof value === 'string' ? value : value?.join(',');
  return text === undefined || text === '' ? undefined : `h:${digest(text)}`;
}

function boundedName(name: string): string {
  return name.length <= 64 ? name : `#${digest(name)}`;
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}

/** An IPv4 address, or the first 64 bits of an IPv6 one: a single customer has at least that many to choose from. */
function addressKey(address: string): string {
  const family = isIP(address);
  if (family === 4) return `4:${address}`;
  if (family !== 6) return `x:${digest(address)}`;
  const groups = expandIpv6(address);
  // ::ffff:0:0/96 is IPv4 in the form that a dual-stack socket shows (RFC 4291 section 2.5.5.2).
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6);
    return `4:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  return `6:${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}`;
}

/** The eight groups of a valid IPv6 address; a zone is dropped. */
function expandIpv6(address: string): number[] {
  const [text = ''] = address.split('%');
  const [head = '', tail] = text.split('::');
  const front = parseGroups(head);
  if (tail === undefined) return front;
  const back = parseGroups(tail);
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}

function parseGroups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
