/** Healthy instances of a service in Consul, by blocking queries: an answer comes when something changed, or after a minute. */
import Type from 'typebox';
import { createAnswerParser } from './answer-parser.ts';
import type { ControlPlane } from './control-plane.ts';
import type { DiscoveryOptions } from './discovery-options.ts';
import {
  buildInstanceId,
  buildInstanceUrl,
  type DiscoveredInstance,
  DiscoveryError,
  maxDiscoveredInstances,
  parseWeight,
  type Watch,
} from './provider.ts';
import type { ConsulLookup } from './service-discovery.ts';

const Meta = Type.Optional(Type.Union([Type.Null(), Type.Record(Type.String(), Type.String())]));

const parseEntries = createAnswerParser(
  'Consul',
  Type.Array(
    Type.Object({
      Node: Type.Object({ Address: Type.Optional(Type.String()), Meta }),
      Service: Type.Object({
        ID: Type.String({ minLength: 1 }),
        Address: Type.Optional(Type.String()),
        Port: Type.Integer(),
        Tags: Type.Optional(Type.Union([Type.Null(), Type.Array(Type.String())])),
        Meta,
        Weights: Type.Optional(Type.Object({ Passing: Type.Optional(Type.Number()) })),
      }),
    }),
    { maxItems: maxDiscoveredInstances },
  ),
);
type Entry = ReturnType<typeof parseEntries>[number];

const waitSeconds = 60;
/** The server adds up to a sixteenth to the wait, so that not all clients come back at once. */
const answerWithinMs = waitSeconds * 1_000 * (1 + 1 / 16) + 10_000;
/** However often something changes. */
const shortestPauseMs = 250;

export function createConsulWatch(
  plane: ControlPlane,
  options: NonNullable<DiscoveryOptions['consul']>,
  lookup: ConsulLookup,
  serviceName: string,
): Watch {
  const query = new URLSearchParams({ passing: '1' });
  if (lookup.tag !== undefined) query.set('tag', lookup.tag);
  const datacenter = lookup.datacenter ?? options.datacenter;
  if (datacenter !== undefined) query.set('dc', datacenter);
  const base = `/v1/health/service/${encodeURIComponent(lookup.service ?? serviceName)}?${query}`;

  return async ({ signal, report, sleep }) => {
    let index = 0;
    while (!signal.aborted) {
      const path = index === 0 ? base : `${base}&index=${index}&wait=${waitSeconds}s`;
      const { headers, body } = await plane.ask({ path, signal, timeoutMs: answerWithinMs });
      report(parseEntries(body).map((entry) => buildInstance(entry, lookup)));
      index = nextIndex(index, headers['x-consul-index']);
      await sleep(shortestPauseMs);
    }
  };
}

/** An index that went back (the servers were restored) means to begin anew; 0 would not block, and be a busy loop. */
function nextIndex(before: number, header: string | string[] | undefined): number {
  const told = Number(header);
  if (!Number.isSafeInteger(told) || told < 0) throw new DiscoveryError('Consul answered without an index');
  const index = Math.max(1, told);
  return index < before ? 0 : index;
}

function buildInstance({ Node: node, Service: service }: Entry, lookup: ConsulLookup): DiscoveredInstance {
  const told = (key: string): string | undefined => service.Meta?.[key] ?? findTag(service.Tags, key);
  return {
    id: buildInstanceId(service.ID),
    url: buildInstanceUrl(
      told('scheme') ?? lookup.scheme ?? 'http',
      service.Address || node.Address || '',
      service.Port,
    ),
    weight: parseWeight(told('weight')) ?? parseWeight(service.Weights?.Passing),
    zone: told('zone') ?? node.Meta?.['zone'],
    version: told('version'),
  };
}

/** `version=1.4.0` among the tags, for those who have no metadata. */
function findTag(tags: readonly string[] | null | undefined, key: string): string | undefined {
  return tags?.find((tag) => tag.startsWith(`${key}=`))?.slice(key.length + 1);
}
