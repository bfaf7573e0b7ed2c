/** Which hosts this gateway answers for (RFC 9110 sections 7.4 and 15.5.20). */
import Type from 'typebox';
import { GatewayError } from '../policies/errors.ts';

export const KnownHosts = Type.Array(
  Type.String({ pattern: '^(?:\\*\\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$|^\\[[0-9A-Fa-f:.]+\\]$' }),
  {
    minItems: 1,
    maxItems: 1_000,
    description:
      'Hosts that are answered for, without port; `*.shop.example` stands for all below, at any depth. Others get 421. Health paths answer under any host. Default: every host.',
    examples: [['shop.example', '*.shop.example']],
  },
);

/** Throws MISDIRECTED_REQUEST for a host that is none of ours. */
export type AssertKnownHost = (host: string) => void;

/** Compiles the list; null where every host is answered for. */
export function compileKnownHosts(hosts: readonly string[] | undefined): AssertKnownHost | null {
  if (hosts === undefined) return null;
  const exact = new Set<string>();
  const suffixes: string[] = [];
  for (const host of hosts) {
    const lowerCase = host.toLowerCase();
    if (lowerCase.startsWith('*.')) suffixes.push(lowerCase.slice(1));
    else exact.add(lowerCase);
  }
  return (host) => {
    const name = host.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase();
    if (exact.has(name) || suffixes.some((suffix) => name.endsWith(suffix))) return;
    throw new GatewayError('MISDIRECTED_REQUEST');
  };
}
