/** What a service says of where its instances are found. It names what to look for; whom to ask, the gateway knows. */
import Type from 'typebox';
import { Duration, OneOf } from '../../policies/units.ts';

const closed = { additionalProperties: false } as const;
const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
const hostPattern = '^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?\\.?$';
/** No slash and no dot segment: it becomes part of a path. */
const NamePattern = '^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$';

const Scheme = Type.Optional(
  OneOf(['http', 'https'], { default: 'http', description: 'What the instances speak, unless the provider says so.' }),
);

function named(description: string) {
  return Type.Optional(
    Type.String({ pattern: NamePattern, description: `${description} Default: the service's name.` }),
  );
}

export const DnsLookup = Type.Object(
  {
    name: Type.String({
      pattern: hostPattern,
      description:
        'Full name to look up (search domains are not tried), e.g. `orders.internal` or `_http._tcp.orders.internal`.',
    }),
    type: Type.Optional(
      OneOf(['A', 'AAAA', 'SRV'], {
        default: 'A',
        description: 'Records to ask for. SRV brings ports, weights and priorities (RFC 2782).',
      }),
    ),
    port: Type.Optional(
      Type.Unsafe<number>({ ...Port, description: 'Port of the instances; needed with A and AAAA, which have none.' }),
    ),
    scheme: Scheme,
    interval: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '30s',
        description: 'Longest time between two look-ups. A shorter TTL of the records goes first, down to a second.',
      }),
    ),
  },
  closed,
);
export type DnsLookup = Type.Static<typeof DnsLookup>;

export const DockerLookup = Type.Object(
  {
    service: named('Value of the label `selvage.service`.'),
    port: Type.Optional(
      Type.Unsafe<number>({
        ...Port,
        description: 'Port in the container, where the label `selvage.port` names none. Default: the only one exposed.',
      }),
    ),
    network: Type.Optional(
      Type.String({
        pattern: NamePattern,
        description: 'Network whose addresses are used. Default: the first one, by name, that has an address.',
      }),
    ),
    scheme: Scheme,
  },
  closed,
);
export type DockerLookup = Type.Static<typeof DockerLookup>;

export const KubernetesLookup = Type.Object(
  {
    service: named('Name of the Service.'),
    namespace: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
        description: "Its namespace. Default: that of `discovery.kubernetes`, else the gateway's own.",
      }),
    ),
    port: Type.Optional(
      Type.Union([Type.Unsafe<number>(Port), Type.String({ pattern: '^[a-z0-9-]{1,63}$' })], {
        description: 'Name or number of the port. Default: `http`, else the only one.',
      }),
    ),
    scheme: Scheme,
  },
  closed,
);
export type KubernetesLookup = Type.Static<typeof KubernetesLookup>;

export const ConsulLookup = Type.Object(
  {
    service: named('Name of the service in Consul.'),
    tag: Type.Optional(Type.String({ pattern: '^[!-~]{1,128}$', description: 'Only instances with this tag.' })),
    datacenter: Type.Optional(
      Type.String({ pattern: NamePattern, description: "Default: that of `discovery.consul`, else the agent's own." }),
    ),
    scheme: Scheme,
  },
  closed,
);
export type ConsulLookup = Type.Static<typeof ConsulLookup>;

export const EtcdLookup = Type.Object(
  { service: named('Keys are looked for under `discovery.etcd.prefix`, this name, and a slash.') },
  closed,
);
export type EtcdLookup = Type.Static<typeof EtcdLookup>;

export const EurekaLookup = Type.Object({ app: named('Name of the application.') }, closed);
export type EurekaLookup = Type.Static<typeof EurekaLookup>;

/** `discovery` of a service: one provider, or several while it moves from one to another. */
export const ServiceDiscovery = Type.Object(
  {
    dns: Type.Optional(DnsLookup),
    docker: Type.Optional(DockerLookup),
    kubernetes: Type.Optional(KubernetesLookup),
    consul: Type.Optional(ConsulLookup),
    etcd: Type.Optional(EtcdLookup),
    eureka: Type.Optional(EurekaLookup),
  },
  {
    ...closed,
    minProperties: 1,
    description: 'Where more instances are found. Whom to ask stands in `discovery` of the gateway.',
  },
);
export type ServiceDiscovery = Type.Static<typeof ServiceDiscovery>;
