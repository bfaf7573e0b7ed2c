/** Who the client is on the network: the peer, or whom trusted proxies name in X-Forwarded-*. */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP, isIPv4, SocketAddress } from 'node:net';
import { renderForwarded } from './forwarded.ts';
import { buildNetworkList } from './network-list.ts';
import type { Client } from './request-context.ts';

/** What is read of a request; an `IncomingMessage` fits. */
export interface ClientRequest {
  readonly socket: { readonly remoteAddress?: string | undefined; readonly encrypted?: boolean };
  readonly headers: IncomingHttpHeaders;
}

export type ClientResolver = (request: ClientRequest) => Client;

/** Stands for a peer without an address: a socket that is gone already. It is never trusted. */
const noAddress = '0.0.0.0';

/**
 * Builds the resolver. Of X-Forwarded-For each hop has appended the address it saw, so the list is read from the right,
 * as long as the hop that wrote an entry is trusted; what stands further left anybody may have made up. Nothing of
 * X-Forwarded-* is believed of a peer that is not trusted.
 */
export function createClientResolver(trustedProxies: readonly string[]): ClientResolver {
  const isTrusted = createTrust(trustedProxies);
  /** Of connections: most carry requests of one client to one host. */
  const known = new WeakMap<ClientRequest['socket'], Client>();

  return ({ socket, headers }) => {
    const host = headers.host ?? '';
    const before = known.get(socket);
    if (before !== undefined && before.host === host) return before;
    const peer = normalizeAddress(socket.remoteAddress ?? '') ?? noAddress;
    const protocol = socket.encrypted === true ? 'https' : 'http';
    if (!isTrusted(peer)) {
      const client = { address: peer, protocol, host, forwardedFor: peer } as const;
      const remembered = { ...client, forwarded: renderForwarded(client) };
      known.set(socket, remembered);
      return remembered;
    }
    const chain = readChain(peer, headers['x-forwarded-for'], isTrusted);
    return {
      address: chain[0] ?? peer,
      protocol: readProtocol(headers['x-forwarded-proto']) ?? protocol,
      host: readHost(headers['x-forwarded-host']) ?? host,
      forwardedFor: chain.join(', '),
    };
  };
}

/** Whether the peer of a connection is one of these proxies. */
export function createProxyTrust(trustedProxies: readonly string[]): (remoteAddress: string | undefined) => boolean {
  const isTrusted = createTrust(trustedProxies);
  return (remoteAddress) => isTrusted(normalizeAddress(remoteAddress ?? '') ?? noAddress);
}

function createTrust(trustedProxies: readonly string[]): (address: string) => boolean {
  const trusted = trustedProxies.length === 0 ? null : buildNetworkList(trustedProxies, 'trustedProxies');
  return (address) => trusted?.check(address, isIPv4(address) ? 'ipv4' : 'ipv6') === true && address !== noAddress;
}

/** The addresses that are known, client first, peer last. An entry that is no address ends the walk. */
function readChain(peer: string, field: string | string[] | undefined, isTrusted: (address: string) => boolean) {
  const entries = field === undefined ? [] : String(field).split(',');
  const chain = [peer];
  for (const entry of entries.reverse()) {
    if (!isTrusted(chain[0] ?? peer)) break;
    const address = parseForwardedAddress(entry);
    if (address === null) break;
    chain.unshift(address);
  }
  return chain;
}

/** Some proxies write the port too (`192.0.2.1:4711`, `[2001:db8::1]:4711`), and brackets around IPv6. */
function parseForwardedAddress(entry: string): string | null {
  const match = /^\s*(?:\[([0-9A-Fa-f:.]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?\s*$/.exec(entry);
  return normalizeAddress(match?.[1] ?? match?.[2] ?? entry.trim());
}

/** One spelling for each address, else one client could be many: IPv6 in short form, IPv4-mapped IPv6 as IPv4, no zone. */
function normalizeAddress(text: string): string | null {
  const family = isIP(text);
  if (family === 0) return null;
  if (family === 4) return text;
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

/** The last item: the one that the trusted peer wrote itself. */
function lastItem(field: string | string[] | undefined): string | undefined {
  return field === undefined ? undefined : String(field).split(',').at(-1)?.trim();
}

function readProtocol(field: string | string[] | undefined): 'http' | 'https' | undefined {
  const protocol = lastItem(field)?.toLowerCase();
  return protocol === 'http' || protocol === 'https' ? protocol : undefined;
}

/** A host with an optional port (RFC 9110 section 7.2), without the characters by which it could turn into more. */
function readHost(field: string | string[] | undefined): string | undefined {
  const host = lastItem(field);
  return host !== undefined && /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(host) ? host : undefined;
}
