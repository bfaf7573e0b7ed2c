/** Which addresses and names stand for this machine itself. */
import { isIP } from 'node:net';

/** Whether a host, as a URL or a socket writes it, can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  const plain = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  // A socket that takes both families writes IPv4 peers into IPv6 (RFC 4291 section 2.5.5.2).
  const address = plain.replace(/^::ffff:/, '');
  return plain === 'localhost' || plain === '::1' || (isIP(address) === 4 && address.startsWith('127.'));
}
