/**
 * Which addresses an instance may have. Whoever may register a service makes the gateway send requests: without this
 * policy also to the metadata service of a cloud, which hands out credentials (server-side request forgery).
 *
 * A literal address is checked when it is registered. What a name resolves to can change afterwards (DNS rebinding), so
 * `lookup` checks it again for every connection.
 */
import dns from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { GatewayError } from '../policies/errors.ts';

export interface AddressPolicy {
  /** Throws BAD_REQUEST when this is no origin of an HTTP service, FORBIDDEN when an instance may not live there. */
  assertAllowed(url: string): void;
  /** For the `lookup` option of `net.connect`, and of undici's `connect`: resolves a name to addresses that are allowed. */
  readonly lookup: LookupFunction;
}

/** Resolves a name to all its addresses; `dns.lookup` fits. */
type Resolve = (
  hostname: string,
  options: dns.LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: dns.LookupAddress[]) => void,
) => void;

/** IPv4 networks where no service lives. The IPv6 forms that carry an IPv4 address are derived from them. */
const refusedIpv4 = [
  ['0.0.0.0', 8], // "this host": reaches the gateway itself
  ['169.254.0.0', 16], // link-local (RFC 3927), with the metadata service of most clouds
  ['100.100.100.200', 32], // metadata, Alibaba
  ['168.63.129.16', 32], // wire server, Azure
  ['192.0.0.192', 32], // metadata, Oracle
  ['224.0.0.0', 4], // multicast
  ['255.255.255.255', 32], // broadcast
] as const;

const refusedIpv6 = [
  ['::', 128], // unspecified
  ['fe80::', 10], // link-local
  ['fd00:ec2::254', 128], // metadata, AWS
  ['fd20:ce::254', 128], // metadata, Google
  ['ff00::', 8], // multicast
] as const;

const refusedNames = new Set(['metadata.google.internal', 'metadata.goog', 'metadata', 'instance-data']);

/**
 * @param allow Hosts (`a.example`, `*.svc.example`), addresses and networks (CIDR); nothing else passes. Default: all but
 *   link-local, metadata, unspecified, multicast and broadcast addresses.
 */
export function createAddressPolicy(
  allow?: readonly string[],
  resolve: Resolve = (hostname, options, callback) => dns.lookup(hostname, options, callback),
): AddressPolicy {
  const allowed = allow === undefined ? null : parseAllowed(allow);
  const refused = buildRefused();

  const isAddressAllowed = (address: string): boolean =>
    allowed === null ? !contains(refused, address) : contains(allowed.addresses, address);

  const isNameAllowed = (name: string): boolean =>
    allowed === null
      ? !refusedNames.has(name)
      : allowed.names.has(name) || allowed.suffixes.some((suffix) => name.endsWith(suffix));

  /** A listed host is trusted wherever it is. A wildcard or a network says nothing about who rules the other names. */
  const mayResolveTo = (name: string, address: string): boolean =>
    allowed?.names.has(name) === true ||
    (allowed !== null && contains(allowed.addresses, address)) ||
    !contains(refused, address);

  return {
    assertAllowed(url) {
      const host = parseHost(url);
      if (isIP(host) === 0 ? isNameAllowed(host) : isAddressAllowed(host)) return;
      throw new GatewayError('FORBIDDEN', `an instance may not have the host ${host}`, {
        reasons: [{ message: `the host ${host} is not one that instances may have (registration.allow)` }],
      });
    },
    lookup(hostname, options, callback) {
      resolve(hostname, { ...options, all: true }, (error, addresses) => {
        if (error !== null) return callback(error, []);
        const name = normalizeName(hostname);
        const passed = addresses.filter(({ address }) => mayResolveTo(name, address));
        const [first] = passed;
        if (first === undefined) return callback(new AddressRefusedError(hostname), []);
        if (options.all === true) callback(null, passed);
        else callback(null, first.address, first.family);
      });
    },
  };
}

/** A name resolved to nothing that an instance may have. Like the other failures of a connection, it has a `code`. */
class AddressRefusedError extends Error {
  override readonly name = 'AddressRefusedError';
  readonly code = 'ERR_ADDRESS_REFUSED';

  constructor(hostname: string) {
    super(`${hostname} resolves to no address that an instance may have`);
  }
}

/** The origin of a URL that a policy let pass, in its one spelling: lower case, no default port, no slash. */
export function buildOrigin(url: string): string {
  return new URL(url).origin;
}

/** The host of an origin, normalized as the URL standard does: `0x7f.1` and `2130706433` become `127.0.0.1`. */
function parseHost(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null) throw badUrl('is not a URL');
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') throw badUrl('is neither http nor https');
  if (parsed.username !== '' || parsed.password !== '' || url.includes('@')) throw badUrl('carries credentials');
  // An empty query or fragment leaves no trace in the parsed URL, hence the look at the text.
  if (parsed.pathname !== '/' || /[?#\\]/.test(url)) throw badUrl('has more than scheme, host and port');
  if (/[\s\p{Cc}]/u.test(url)) throw badUrl('has white space in it');
  if (parsed.port === '0') throw badUrl('has port 0');
  return normalizeName(parsed.hostname);
}

function badUrl(what: string): GatewayError {
  const message = `the URL of an instance ${what}; expected an origin such as http://10.0.0.5:8080`;
  return new GatewayError('BAD_REQUEST', message, { reasons: [{ message }] });
}

function normalizeName(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
}

interface Allowed {
  readonly names: ReadonlySet<string>;
  readonly suffixes: readonly string[];
  readonly addresses: BlockList;
}

function parseAllowed(allow: readonly string[]): Allowed {
  const names = new Set<string>();
  const suffixes: string[] = [];
  const addresses = new BlockList();
  for (const entry of allow) {
    const [base = '', bits] = normalizeName(entry).split('/');
    const version = isIP(base);
    if (version !== 0) addSubnet(addresses, base, bits === undefined ? (version === 4 ? 32 : 128) : Number(bits));
    else if (bits !== undefined) throw badEntry(entry);
    else if (base.startsWith('*.') && !base.slice(2).includes('*')) suffixes.push(base.slice(1));
    else if (/^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$/.test(base)) names.add(base);
    else throw badEntry(entry);
  }
  return { names, suffixes, addresses };
}

function badEntry(entry: string): GatewayError {
  const message = `registration.allow: expected a host, *.suffix, an address or a network (CIDR), got ${JSON.stringify(entry)}`;
  return new GatewayError('BAD_REQUEST', message);
}

function addSubnet(list: BlockList, base: string, bits: number): void {
  const version = isIP(base);
  if (!Number.isInteger(bits) || bits < 0 || bits > (version === 4 ? 32 : 128)) throw badEntry(`${base}/${bits}`);
  list.addSubnet(base, bits, version === 4 ? 'ipv4' : 'ipv6');
}

function buildRefused(): BlockList {
  const list = new BlockList();
  for (const [base, bits] of refusedIpv6) list.addSubnet(base, bits, 'ipv6');
  for (const [base, bits] of refusedIpv4) {
    list.addSubnet(base, bits, 'ipv4'); // and ::ffff:a.b.c.d, which BlockList takes for the same
    const [a = 0, b = 0, c = 0, d = 0] = base.split('.').map(Number);
    const groups = [(a << 8) | b, (c << 8) | d].map((group) => group.toString(16));
    const [high, low] = groups;
    list.addSubnet(`64:ff9b::${high}:${low}`, 96 + bits, 'ipv6'); // NAT64 (RFC 6052)
    list.addSubnet(`::ffff:0:${high}:${low}`, 96 + bits, 'ipv6'); // SIIT (RFC 2765)
    list.addSubnet(`2002:${high}:${low}::`, 16 + bits, 'ipv6'); // 6to4 (RFC 3056)
    // IPv4-compatible (RFC 4291 section 2.5.5.1); not for 0.0.0.0/8, which would take in ::1.
    if (a !== 0) list.addSubnet(`::${high}:${low}`, 96 + bits, 'ipv6');
  }
  return list;
}

function contains(list: BlockList, address: string): boolean {
  const bare = address.replace(/%.*$/, ''); // the zone of a link-local address
  return list.check(bare, isIP(bare) === 6 ? 'ipv6' : 'ipv4');
}
