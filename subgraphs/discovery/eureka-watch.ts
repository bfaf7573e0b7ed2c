/**
 * Instances of an application in Eureka that are UP. All of the application at each look: it is one small answer, while
 * the delta is about every application of the server and has to be checked against a hash of the whole.
 */
import Type from 'typebox';
import { parseDurationMs } from '../../policies/units.ts';
import { createAnswerParser } from './answer-parser.ts';
import type { ControlPlane } from './control-plane.ts';
import type { DiscoveryOptions } from './discovery-options.ts';
import {
  buildInstanceId,
  buildInstanceUrl,
  type DiscoveredInstance,
  maxDiscoveredInstances,
  parseWeight,
  type Watch,
} from './provider.ts';
import type { EurekaLookup } from './service-discovery.ts';

/** Its JSON is made of XML: numbers and booleans may be text, and attributes begin with `@`. */
const Port = Type.Object({
  $: Type.Union([Type.Integer(), Type.String({ pattern: '^\\d{1,5}$' })]),
  '@enabled': Type.Optional(Type.Union([Type.Boolean(), Type.String()])),
});

const Registered = Type.Object({
  instanceId: Type.Optional(Type.String()),
  hostName: Type.String(),
  ipAddr: Type.Optional(Type.String()),
  status: Type.String(),
  port: Type.Optional(Port),
  securePort: Type.Optional(Port),
  metadata: Type.Optional(Type.Union([Type.Null(), Type.Record(Type.String(), Type.Unknown())])),
  dataCenterInfo: Type.Optional(Type.Object({ metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown())) })),
});
type Registered = Type.Static<typeof Registered>;

const parseApplication = createAnswerParser(
  'Eureka',
  Type.Object({
    application: Type.Object({
      // A list of one is written as the one.
      instance: Type.Optional(Type.Union([Type.Array(Registered, { maxItems: maxDiscoveredInstances }), Registered])),
    }),
  }),
);

/** Looks in a row that must find no such application: a server that has just started knows none yet. */
const missesBeforeBelief = 3;

export function createEurekaWatch(
  planes: readonly ControlPlane[],
  options: NonNullable<DiscoveryOptions['eureka']>,
  lookup: EurekaLookup,
  serviceName: string,
): Watch {
  const path = `/apps/${encodeURIComponent(lookup.app ?? serviceName)}`;
  const intervalMs = parseDurationMs(options.interval ?? '30s');
  let turn = 0;
  let misses = 0;

  return async ({ signal, report, sleep }) => {
    const plane = planes[turn++ % planes.length];
    while (!signal.aborted && plane !== undefined) {
      const { status, body } = await plane.ask({ path, signal, accept: [200, 404] });
      misses = status === 404 ? misses + 1 : 0;
      if (status === 200) report(listInstances(body));
      else if (misses >= missesBeforeBelief) report([]);
      await sleep(intervalMs);
    }
  };
}

function listInstances(body: unknown): readonly DiscoveredInstance[] {
  const { instance = [] } = parseApplication(body).application;
  const registered = Array.isArray(instance) ? instance : [instance];
  return registered.filter(({ status }) => status === 'UP').map(buildInstance);
}

function buildInstance(registered: Registered): DiscoveredInstance {
  const { hostName, ipAddr, port, securePort, metadata, dataCenterInfo } = registered;
  const isSecure = isEnabled(securePort) && !isEnabled(port);
  const number = Number((isSecure ? securePort : port)?.$ ?? 0);
  return {
    id: buildInstanceId(registered.instanceId ?? `${hostName}:${number}`),
    // A certificate is for a name; without one, the address spares a look-up.
    url: isSecure ? buildInstanceUrl('https', hostName, number) : buildInstanceUrl('http', ipAddr || hostName, number),
    weight: parseWeight(metadata?.['weight']),
    zone: textOf(metadata?.['zone'] ?? dataCenterInfo?.metadata?.['availability-zone']),
    version: textOf(metadata?.['version']),
  };
}

function isEnabled(port: Registered['port']): boolean {
  return port !== undefined && String(port['@enabled'] ?? 'true') === 'true';
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
