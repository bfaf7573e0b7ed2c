/** Options of the public port. */
import Type from 'typebox';
import { OneOf } from '../policies/units.ts';

const closed = { additionalProperties: false } as const;

export const Port = Type.Integer({ minimum: 0, maximum: 65_535 });

export const TlsOptions = Type.Object(
  {
    certificate: Type.String({
      minLength: 1,
      description: 'File with the certificate and those between it and the CA (PEM).',
    }),
    key: Type.String({ minLength: 1, description: 'File with its private key (PEM).' }),
    clientCa: Type.Optional(
      Type.String({ minLength: 1, description: 'File with the CAs (PEM) that sign the certificates of clients.' }),
    ),
    clientCertificates: Type.Optional(
      OneOf(['none', 'request', 'require'], {
        default: 'none',
        description:
          'Whether clients show certificates of `clientCa`. `request`: who has one may; one that is not valid is a 401. `require`: without a valid one there is no connection, for health checks neither.',
      }),
    ),
  },
  { ...closed, description: 'TLS on the public port, 1.2 or later. Without it the port speaks plain HTTP.' },
);
export type TlsOptions = Type.Static<typeof TlsOptions>;

export const ListenOptions = Type.Object(
  {
    host: Type.Optional(
      Type.String({ default: '0.0.0.0', description: 'Address of the public port. Environment: `HOST`.' }),
    ),
    port: Type.Optional(
      Type.Unsafe<number>({
        ...Port,
        default: 4000,
        description: 'The public port; 0 takes a free one. Environment: `PORT`.',
      }),
    ),
    tls: Type.Optional(TlsOptions),
  },
  { ...closed, description: 'The public port: GraphQL, REST routes, health.' },
);
