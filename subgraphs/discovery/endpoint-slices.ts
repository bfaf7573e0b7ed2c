/** EndpointSlices (discovery.k8s.io/v1), as far as they tell of instances. */
import Type from 'typebox';
import { createAnswerParser } from './answer-parser.ts';
import { buildInstanceId, buildInstanceUrl, type DiscoveredInstance, DiscoveryError } from './provider.ts';
import type { KubernetesLookup } from './service-discovery.ts';

/** Go writes an empty list as null or not at all. */
function listOf<S extends Type.TSchema>(schema: S, maxItems: number) {
  return Type.Optional(Type.Union([Type.Null(), Type.Array(schema, { maxItems })]));
}

const Condition = Type.Optional(Type.Union([Type.Null(), Type.Boolean()]));

const Endpoint = Type.Object({
  addresses: Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 100 }),
  conditions: Type.Optional(Type.Object({ ready: Condition, serving: Condition, terminating: Condition })),
  zone: Type.Optional(Type.Union([Type.Null(), Type.String()])),
  targetRef: Type.Optional(Type.Union([Type.Null(), Type.Object({ name: Type.Optional(Type.String()) })])),
});
type Endpoint = Type.Static<typeof Endpoint>;

const EndpointPort = Type.Object({
  name: Type.Optional(Type.Union([Type.Null(), Type.String()])),
  port: Type.Optional(Type.Union([Type.Null(), Type.Integer()])),
  protocol: Type.Optional(Type.Union([Type.Null(), Type.String()])),
});

const EndpointSlice = Type.Object({
  metadata: Type.Object({ name: Type.String({ minLength: 1 }) }),
  addressType: Type.String(),
  endpoints: listOf(Endpoint, 1_000),
  ports: listOf(EndpointPort, 20_000),
});
export type EndpointSlice = Type.Static<typeof EndpointSlice>;

export const parseSlice = createAnswerParser('Kubernetes', EndpointSlice);

export const parseSliceList = createAnswerParser(
  'Kubernetes',
  Type.Object({
    metadata: Type.Object({
      resourceVersion: Type.String({ minLength: 1 }),
      continue: Type.Optional(Type.String()),
    }),
    items: listOf(EndpointSlice, 5_000),
  }),
);

export const parseWatchEvent = createAnswerParser(
  'Kubernetes',
  Type.Object({
    type: Type.String(),
    object: Type.Object({
      code: Type.Optional(Type.Integer()),
      metadata: Type.Optional(Type.Object({ resourceVersion: Type.Optional(Type.String()) })),
    }),
  }),
);

/**
 * One instance per pod. Ready ones; when all are on their way out, those that still serve, as kube-proxy does
 * (KEP-1672). A pod in slices of both address families is one instance, by IPv4.
 */
export function buildInstancesOfSlices(
  slices: readonly EndpointSlice[],
  lookup: KubernetesLookup,
): readonly DiscoveredInstance[] {
  const peopled = slices.filter(({ endpoints }) => (endpoints ?? []).length > 0);
  if (peopled.length > 0 && peopled.every((slice) => findPort(slice, lookup.port) === undefined)) {
    throw new DiscoveryError(`the Service has no port ${lookup.port ?? '`http`, and more than one or none'}`);
  }
  const all = peopled
    .toSorted((a, b) => familyOrder(a) - familyOrder(b) || (a.metadata.name < b.metadata.name ? -1 : 1))
    .flatMap((slice) => {
      const port = findPort(slice, lookup.port);
      return port === undefined ? [] : (slice.endpoints ?? []).map((endpoint) => ({ endpoint, port }));
    });
  const ready = all.filter(({ endpoint }) => isReady(endpoint));
  const chosen = ready.length > 0 ? ready : all.filter(({ endpoint }) => isLastResort(endpoint));
  const instances = new Map<string, DiscoveredInstance>();
  for (const { endpoint, port } of chosen) {
    const instance = buildInstance(endpoint, port, lookup.scheme ?? 'http');
    if (!instances.has(instance.id)) instances.set(instance.id, instance);
  }
  return [...instances.values()];
}

function familyOrder({ addressType }: EndpointSlice): number {
  return addressType === 'IPv4' ? 0 : 1;
}

/** A condition that is not there is unknown, which the API says to take for ready. */
function isReady({ conditions }: Endpoint): boolean {
  return (conditions?.ready ?? true) && conditions?.terminating !== true;
}

function isLastResort({ conditions }: Endpoint): boolean {
  return conditions?.terminating === true && conditions.serving === true;
}

/** A port by name or number; without either `http`, else the only one there is. */
function findPort({ ports }: EndpointSlice, wanted: string | number | undefined): number | undefined {
  const open = (ports ?? []).filter(({ protocol, port }) => (protocol ?? 'TCP') === 'TCP' && port != null);
  const found =
    wanted === undefined
      ? (open.find(({ name }) => name === 'http') ?? (open.length === 1 ? open[0] : undefined))
      : open.find(({ name, port }) => (typeof wanted === 'number' ? port === wanted : name === wanted));
  return found?.port ?? undefined;
}

function buildInstance({ addresses, zone, targetRef }: Endpoint, port: number, scheme: string): DiscoveredInstance {
  const [address = ''] = addresses; // the API says that all but the first have no meaning
  return {
    id: buildInstanceId(targetRef?.name ?? address, port),
    url: buildInstanceUrl(scheme, address, port),
    zone: zone ?? undefined,
  };
}
