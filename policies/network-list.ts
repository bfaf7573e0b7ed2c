/** Networks as people write them: `10.0.0.0/8`, `2001:db8::/32`, or an address alone. */
import { BlockList, isIP, isIPv4 } from 'node:net';

/** Builds the list. `name`: the option that holds the entries, for the TypeError about one that is no network. */
export function buildNetworkList(entries: readonly string[], name: string): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const network = parseNetwork(entry);
    if (network === null) {
      throw new TypeError(`${name}: expected an IP address or a network such as 10.0.0.0/8, got "${entry}"`);
    }
    list.addSubnet(network.address, network.length, network.family);
  }
  return list;
}

/** A test whether an address, in the one spelling of `client-address.ts`, is in one of the networks. */
export function createNetworkTest(entries: readonly string[], name: string): (address: string) => boolean {
  const list = buildNetworkList(entries, name);
  return (address) => isIP(address) !== 0 && list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}

/** Whether a text names a network. */
export function isNetwork(entry: string): boolean {
  return parseNetwork(entry) !== null;
}

function parseNetwork(entry: string) {
  const [address = '', prefix, ...rest] = entry.split('/');
  const family: 'ipv4' | 'ipv6' = isIP(address) === 4 ? 'ipv4' : 'ipv6';
  const bits = family === 'ipv4' ? 32 : 128;
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  const isSound = isIP(address) !== 0 && !address.includes('%') && rest.length === 0 && length <= bits;
  return isSound ? { address, length, family } : null;
}
