/** Who a rate limit counts: keys of bounded length that hold no secret and that a client cannot make up. */
import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { readClientName } from './client-name.ts';
import type { Departure, Viewer } from './request-context.ts';

/** What a rule may look at. */
export interface RateLimitSubject {
  readonly viewer: Viewer | null;
  /** IP address of the client. */
  readonly address: string;
  readonly headers: IncomingHttpHeaders;
  /** Label of the route; of the GraphQL door as a whole, undefined. */
  readonly route?: string | undefined;
  /** The service that the route leads to; undefined at the GraphQL door, where an operation may need several. */
  readonly service?: string | undefined;
  /** Kind and name of the operation. */
  readonly operation?: string | undefined;
  /** Root field of the operation, as `Type.field`. */
  readonly field?: string | undefined;
  /** What the request takes of rules that count cost. @default 1 */
  readonly cost?: number | undefined;
  /** How often the field is asked for, for rules that count requests. @default 1 */
  readonly times?: number | undefined;
  /** Whoever waits in a queue leaves it when the client does. */
  readonly departure?: Departure | undefined;
}

type KeyReader = (subject: RateLimitSubject) => string;

/** The words for a key. */
export const rateLimitKeyPattern =
  '^(viewer|ip(/([1-9]|[12][0-9]|3[0-2])(/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?)?|api-key|client-name|route|service|operation|field|header:[A-Za-z0-9-]+|claim:[!-~]+)$';

/** A reader for one word or a combination. What a request does not have is replaced by its address. */
export function buildKeyReader(prefix: string, keys: string | readonly string[]): KeyReader {
  const [first = 'viewer', ...others] = typeof keys === 'string' ? [keys] : keys;
  const readFirst = buildPartReader(first);
  if (others.length === 0) return (subject) => prefix + readFirst(subject);
  const readers = others.map(buildPartReader);
  return (subject) => {
    let key = prefix + readFirst(subject);
    // Parts tell their length or have no space, so that no two combinations read alike.
    for (const read of readers) key += ` ${read(subject)}`;
    return key;
  };
}

function buildPartReader(key: string): KeyReader {
  if (key.startsWith('ip/')) {
    const [bits4 = 32, bits6 = 64] = key.slice('ip/'.length).split('/').map(Number);
    return ({ address }) => addressKey(address, bits4, bits6);
  }
  if (key.startsWith('header:')) {
    const name = key.slice('header:'.length).toLowerCase();
    return ({ headers, address }) => headerKey(headers[name]) ?? addressKey(address);
  }
  if (key.startsWith('claim:')) {
    const name = key.slice('claim:'.length);
    return ({ viewer, address }) => claimKey(viewer, name) ?? addressKey(address);
  }
  return partReaders[key] ?? readViewer;
}

const readViewer: KeyReader = ({ viewer, address }) => (viewer === null ? addressKey(address) : viewerKey(viewer));

const partReaders: Readonly<Record<string, KeyReader>> = {
  ip: ({ address }) => addressKey(address),
  viewer: readViewer,
  'api-key': ({ viewer, address }) =>
    viewer?.kind === 'api-key' ? `k:${boundedName(viewer.id)}` : addressKey(address),
  'client-name': ({ headers, address }) => headerKey(readClientName(headers)) ?? addressKey(address),
  route: ({ route }) => `r:${boundedWord(route ?? 'graphql')}`,
  service: ({ service }) => `s:${boundedWord(service ?? 'graphql')}`,
  operation: ({ operation, route }) => `o:${boundedWord(operation ?? route ?? '')}`,
  field: ({ field, route }) => `f:${boundedWord(field ?? route ?? '')}`,
};

/** The claims of two issuers may mean different things by one name. */
function claimKey(viewer: Viewer | null, name: string): string | undefined {
  if (viewer === null || !Object.hasOwn(viewer.claims, name)) return undefined;
  const value = viewer.claims[name];
  if (value === undefined || value === null || value === '') return undefined;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const issuer = viewer.issuer ?? '';
  return `c:${digest(`${issuer.length}:${issuer}${text}`)}`;
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

function boundedWord(text: string): string {
  return /^[ -~]{1,64}$/.test(text) ? `${text.length}:${text}` : `#${digest(text)}`;
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}

/**
 * The first bits of an address: by default a whole IPv4 address, or the first 64 bits of an IPv6 one, as a single customer
 * has at least that many to choose from. Where the length is not the usual one it is told, so that no two networks read alike.
 */
function addressKey(address: string, bits4 = 32, bits6 = 64): string {
  const family = isIP(address);
  if (family === 4 && bits4 === 32) return `4:${address}`;
  if (family === 4) return ipv4Key(address.split('.').map(Number), bits4);
  if (family !== 6) return `x:${digest(address)}`;
  const groups = expandIpv6(address);
  // ::ffff:0:0/96 is IPv4 in the form that a dual-stack socket shows (RFC 4291 section 2.5.5.2).
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6);
    return ipv4Key([high >> 8, high & 255, low >> 8, low & 255], bits4);
  }
  const network = keepBits(groups, 16, bits6).map((group) => group.toString(16));
  return `6:${network.join(':')}${bits6 === 64 ? '' : `/${bits6}`}`;
}

function ipv4Key(bytes: readonly number[], bits: number): string {
  const network = keepBits(bytes, 8, bits);
  while (network.length < 4) network.push(0);
  return `4:${network.join('.')}${bits === 32 ? '' : `/${bits}`}`;
}

/** The parts that the first `bits` lie in, with zeros behind them. */
function keepBits(parts: readonly number[], width: 8 | 16, bits: number): number[] {
  const kept = parts.slice(0, Math.ceil(bits / width));
  const last = kept.length - 1;
  const rest = kept.length * width - bits;
  kept[last] = ((kept[last] ?? 0) >> rest) << rest;
  return kept;
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
