/** The client, and those between, as `Forwarded` says it. */
import type { Client } from './request-context.ts';

/** RFC 7239 section 4: one element per hop; what the client asked for stands with the first. */
export function renderForwarded(client: Pick<Client, 'forwardedFor' | 'host' | 'protocol'>): string {
  const hops = client.forwardedFor.split(',');
  let value = `for=${forwardedNode(hops[0] ?? '')};host=${forwardedValue(client.host)};proto=${client.protocol}`;
  for (let i = 1; i < hops.length; i++) value += `, for=${forwardedNode(hops[i] ?? '')}`;
  return value;
}

/** RFC 7239 section 6: IPv6 addresses stand in brackets and therefore in quotes; what is no address is `unknown`. */
function forwardedNode(text: string): string {
  const address = text.trim();
  if (/^[0-9.]+$/.test(address)) return address;
  return /^[0-9a-f:.]+$/i.test(address) ? `"[${address}]"` : 'unknown';
}

function forwardedValue(text: string): string {
  return /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}
