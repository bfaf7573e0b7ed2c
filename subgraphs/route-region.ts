/** Which zone's instances a request prefers: by a header, or by the network that its client is in. */
import Type from 'typebox';
import { createNetworkTest, isNetwork } from '../policies/network-list.ts';
import type { RequestContext } from '../policies/request-context.ts';
import type { Mistake } from '../policies/schema-mistakes.ts';

const Zone = Type.String({ pattern: '^[A-Za-z0-9._-]{1,63}$' });

export const RegionOptions = Type.Object(
  {
    header: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9-]{1,128}$',
        description: 'A header of the request that names the zone.',
        examples: ['x-region'],
      }),
    ),
    zones: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 128 }), Zone, {
        additionalProperties: false,
        maxProperties: 200,
        description: 'The zone for each value of `header`; other values name none. Default: the value is the zone.',
      }),
    ),
    networks: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 64 }), Zone, {
        additionalProperties: false,
        maxProperties: 500,
        description: 'The zone for networks of clients, where no header says one. The narrowest that fits counts.',
      }),
    ),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    description:
      "Whose instances come first for a request, instead of those of the gateway's own `zone`. Too few or too busy ones there, and all are asked, as `loadBalancing.zones` says.",
  },
);
export type RegionOptions = Type.Static<typeof RegionOptions>;

export type FindZone = (context: Pick<RequestContext, 'headers' | 'client'>) => string | undefined;

export function compileRegion({ header, zones, networks = {} }: RegionOptions): FindZone {
  const name = header?.toLowerCase();
  const known = zones === undefined ? undefined : new Map(Object.entries(zones));
  const tests = Object.entries(networks)
    .toSorted(([a], [b]) => lengthOf(b) - lengthOf(a))
    .map(([network, zone]) => ({ isWithin: createNetworkTest([network], 'networks'), zone }));
  return ({ headers, client }) => {
    const said = name === undefined ? undefined : headers[name];
    const zone = said === undefined ? undefined : known === undefined ? String(said) : known.get(String(said));
    return zone ?? tests.find(({ isWithin }) => isWithin(client.address))?.zone;
  };
}

function lengthOf(network: string): number {
  return Number(network.split('/')[1] ?? 128);
}

/** What no schema can say of it, by paths from where it stands. */
export function findRegionMistakes(region: RegionOptions | undefined): Mistake[] {
  if (region === undefined) return [];
  const mistakes: Mistake[] = Object.keys(region.networks ?? {})
    .filter((network) => !isNetwork(network))
    .map((network) => ({ path: ['region', 'networks', network], message: 'expected a network such as 10.0.0.0/8' }));
  if (region.zones !== undefined && region.header === undefined) {
    mistakes.push({ path: ['region', 'zones'], message: 'expected `header`, whose values these are' });
  }
  return mistakes;
}
