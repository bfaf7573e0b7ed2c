/**
 * Containers of one Docker Engine that carry the label `selvage.service`. Its events say when to look, the list says what
 * there is: an event that was missed costs a minute, not an instance.
 */
import Type from 'typebox';
import { createAnswerParser } from './answer-parser.ts';
import type { ControlPlane } from './control-plane.ts';
import { createDelayedLook } from './delayed-look.ts';
import {
  buildInstanceId,
  buildInstanceUrl,
  type DiscoveredInstance,
  maxDiscoveredInstances,
  parseWeight,
  type Watch,
} from './provider.ts';
import type { DockerLookup } from './service-discovery.ts';

const Labels = Type.Record(Type.String(), Type.String());

const parseContainers = createAnswerParser(
  'Docker',
  Type.Array(
    Type.Object({
      Id: Type.String({ minLength: 1 }),
      Names: Type.Optional(Type.Array(Type.String())),
      Status: Type.Optional(Type.String()),
      Labels,
      Ports: Type.Optional(Type.Array(Type.Object({ PrivatePort: Type.Integer(), Type: Type.String() }))),
      HostConfig: Type.Optional(Type.Object({ NetworkMode: Type.Optional(Type.String()) })),
      NetworkSettings: Type.Optional(
        Type.Object({
          Networks: Type.Optional(
            Type.Record(
              Type.String(),
              Type.Object({
                IPAddress: Type.Optional(Type.String()),
                GlobalIPv6Address: Type.Optional(Type.String()),
              }),
            ),
          ),
        }),
      ),
    }),
    { maxItems: maxDiscoveredInstances },
  ),
);
type Container = ReturnType<typeof parseContainers>[number];

/** What may change the list. `health_status` carries the status behind a colon, so it is not filtered by name. */
const noise = /^(exec_|top|attach|resize|copy|export|commit|archive-path|extract-to-dir)/;
const resyncMs = 60_000;

/** Actions, and what they are about, are looked at here: a filter that an old Engine does not know would be an error. */
const parseEvent = createAnswerParser('Docker', Type.Object({ Action: Type.Optional(Type.String()) }));

export function createDockerWatch(plane: ControlPlane, lookup: DockerLookup, serviceName: string): Watch {
  const label = `selvage.service=${lookup.service ?? serviceName}`;
  const list = `/containers/json?filters=${encodeFilters({ label: [label], status: ['running'] })}`;
  const events = `/events?filters=${encodeFilters({ label: [label], type: ['container'] })}`;

  return async ({ signal, report, sleep }) => {
    while (!signal.aborted) {
      const looking = createDelayedLook(signal, async () => {
        const { body } = await plane.ask({ path: list, signal });
        report(
          parseContainers(body)
            .filter(isTakingCalls)
            .flatMap((container) => buildInstance(container, lookup)),
        );
      });
      await looking.run(async (stop) => {
        // The stream is asked for first and the list meanwhile, so that nothing falls between the two.
        for await (const value of plane.stream({ path: events, signal: stop, timeoutMs: resyncMs })) {
          if (!noise.test(parseEvent(value).Action ?? '')) looking.request();
        }
      });
      await sleep(250);
    }
  };
}

function encodeFilters(filters: Readonly<Record<string, readonly string[]>>): string {
  return encodeURIComponent(JSON.stringify(filters));
}

/** The list of the Engine tells the health of a container in words only: `Up 2 minutes (healthy)`. */
function isTakingCalls({ Status = '' }: Container): boolean {
  return !/\((unhealthy|health: starting|Paused)\)/.test(Status);
}

function buildInstance(container: Container, lookup: DockerLookup): DiscoveredInstance[] {
  const { Labels: labels } = container;
  const port = findPort(container, lookup);
  const host = findHost(container, labels['selvage.network'] ?? lookup.network);
  const name = container.Names?.[0]?.replace(/^\//, '') ?? container.Id.slice(0, 12);
  return [
    {
      id: buildInstanceId(name, container.Id.slice(0, 12)),
      // What is missing makes a URL that is refused, and the refusal names the container.
      url: buildInstanceUrl(labels['selvage.scheme'] ?? lookup.scheme ?? 'http', host ?? '', port ?? 0),
      weight: parseWeight(labels['selvage.weight']),
      zone: labels['selvage.zone'],
      version: labels['selvage.version'],
    },
  ];
}

function findPort({ Labels: labels, Ports = [] }: Container, lookup: DockerLookup): number | undefined {
  const named = labels['selvage.port'];
  if (named !== undefined) return Number(named);
  if (lookup.port !== undefined) return lookup.port;
  const exposed = new Set(Ports.filter((port) => port.Type === 'tcp').map((port) => port.PrivatePort));
  return exposed.size === 1 ? [...exposed][0] : undefined;
}

function findHost(container: Container, network: string | undefined): string | undefined {
  if (container.HostConfig?.NetworkMode === 'host') return '127.0.0.1';
  const networks = container.NetworkSettings?.Networks ?? {};
  const names = network === undefined ? Object.keys(networks).sort() : [network];
  for (const name of names) {
    const { IPAddress, GlobalIPv6Address } = (Object.hasOwn(networks, name) ? networks[name] : undefined) ?? {};
    const address = IPAddress || GlobalIPv6Address;
    if (address) return address;
  }
  return undefined;
}
