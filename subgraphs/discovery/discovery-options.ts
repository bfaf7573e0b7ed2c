/** Whom the gateway asks for instances: addresses and credentials, which services never name. */
import Type from 'typebox';
import { Duration, OneOf } from '../../policies/units.ts';
import { providerNames } from './provider.ts';

const closed = { additionalProperties: false } as const;

const Url = Type.String({
  pattern: '^https?://[^?#@\\s]+$',
  maxLength: 2_048,
  description: 'Its URL, without credentials. A path before the API is kept.',
});
const Urls = Type.Array(Url, {
  minItems: 1,
  maxItems: 20,
  description: 'Its URLs. The next one is asked when one fails.',
});
const CaFile = Type.Optional(
  Type.String({
    minLength: 1,
    description: 'Certificates (PEM) that its own is checked by. Read again when they change.',
  }),
);
const TokenFile = Type.Optional(
  Type.String({
    minLength: 1,
    description: 'File that holds the token. Read again for every request, as it may rotate.',
  }),
);

export const DiscoveryOptions = Type.Object(
  {
    teams: Type.Optional(
      Type.Array(OneOf(providerNames), {
        default: ['dns'],
        description:
          'Providers that services of the admin API may use. Those of this file may use all. A provider answers with the rights of the gateway, whoever asks.',
      }),
    ),
    dns: Type.Optional(
      Type.Object(
        {
          servers: Type.Optional(
            Type.Array(Type.String({ minLength: 1 }), {
              minItems: 1,
              description:
                'Servers to ask, by address: `10.0.0.2`, `10.0.0.2:8600`, `[fd00::2]:53`. Default: those of the system.',
            }),
          ),
          timeout: Type.Optional(
            Type.Unsafe<string>({ ...Duration, default: '2s', description: 'Time for one try at one server.' }),
          ),
        },
        closed,
      ),
    ),
    docker: Type.Optional(
      Type.Object(
        {
          socket: Type.Optional(
            Type.String({
              pattern: '^/',
              default: '/var/run/docker.sock',
              description:
                'Socket of the Engine. Whoever may write to it rules the machine; a proxy that lets only GET pass is enough.',
            }),
          ),
        },
        closed,
      ),
    ),
    kubernetes: Type.Optional(
      Type.Object(
        {
          url: Type.Optional(
            Type.Unsafe<string>({
              ...Url,
              description:
                'The API server. Default: that of the cluster it runs in, with the service account of its pod.',
            }),
          ),
          tokenFile: TokenFile,
          caFile: CaFile,
          namespace: Type.Optional(
            Type.String({
              minLength: 1,
              description: 'Namespace of services that name none. Default: that of the pod.',
            }),
          ),
        },
        closed,
      ),
    ),
    consul: Type.Optional(
      Type.Object(
        {
          url: Url,
          token: Type.Optional(
            Type.String({
              minLength: 1,
              description: 'Sent as `X-Consul-Token`. Needs `service:read` and `node:read`.',
            }),
          ),
          tokenFile: TokenFile,
          caFile: CaFile,
          datacenter: Type.Optional(
            Type.String({ minLength: 1, description: 'Datacenter of services that name none.' }),
          ),
        },
        closed,
      ),
    ),
    etcd: Type.Optional(
      Type.Object(
        {
          urls: Urls,
          prefix: Type.Optional(
            Type.String({
              minLength: 1,
              default: '/selvage/',
              description: 'What all keys begin with. Services see nothing beside it.',
            }),
          ),
          username: Type.Optional(Type.String({ minLength: 1, description: 'Where etcd asks for a user.' })),
          password: Type.Optional(Type.String({ minLength: 1, description: 'Its password.' })),
          caFile: CaFile,
        },
        closed,
      ),
    ),
    eureka: Type.Optional(
      Type.Object(
        {
          urls: Type.Unsafe<string[]>({
            ...Urls,
            description:
              'Its URLs, with the path before `/apps`, e.g. `http://eureka:8761/eureka`. The next one is asked when one fails.',
          }),
          username: Type.Optional(Type.String({ minLength: 1, description: 'For basic authentication.' })),
          password: Type.Optional(Type.String({ minLength: 1, description: 'For basic authentication.' })),
          caFile: CaFile,
          interval: Type.Optional(
            Type.Unsafe<string>({ ...Duration, default: '30s', description: 'Time between two looks.' }),
          ),
        },
        closed,
      ),
    ),
  },
  { ...closed, description: 'Whom to ask for instances, for services with `discovery`.' },
);
export type DiscoveryOptions = Type.Static<typeof DiscoveryOptions>;
