/** Options of the public port. */
import Type from 'typebox';
import { Duration, OneOf } from '../policies/units.ts';

const closed = { additionalProperties: false } as const;

export const Port = Type.Integer({ minimum: 0, maximum: 65_535 });

const pair = {
  certificate: Type.String({
    minLength: 1,
    description: 'File with the certificate and those between it and the CA (PEM).',
  }),
  key: Type.String({ minLength: 1, description: 'File with its private key (PEM).' }),
};

export const TlsOptions = Type.Object(
  {
    ...pair,
    certificates: Type.Optional(
      Type.Array(
        Type.Object(
          {
            ...pair,
            names: Type.Optional(
              Type.Array(Type.String({ pattern: '^(?:\\*\\.)?[A-Za-z0-9.-]+$' }), {
                minItems: 1,
                description: 'Server names that get this one, `*.example.com` among them. Default: its DNS names.',
              }),
            ),
          },
          closed,
        ),
        {
          maxItems: 1_000,
          default: [],
          description:
            'Further certificates, by the name that a client asks for (SNI): a whole name counts before a wildcard, and `listen.tls.certificate` is for all others.',
        },
      ),
    ),
    minVersion: Type.Optional(
      OneOf(['TLSv1.2', 'TLSv1.3'], { default: 'TLSv1.2', description: 'The oldest version that is spoken.' }),
    ),
    ciphers: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Cipher suites as OpenSSL lists them, best first. Default: those of Node.',
      }),
    ),
    handshakeTimeout: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '10s', description: 'Time for the handshake.' }),
    ),
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
  {
    ...closed,
    description:
      'TLS on the public port. Without it the port speaks plain HTTP. The files are read again when they change; bad ones are refused and logged, and the old serve on.',
  },
);
export type TlsOptions = Type.Static<typeof TlsOptions>;

export const Http2Options = Type.Object(
  {
    tls: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'Whether clients may choose HTTP/2 when they connect by TLS (ALPN).',
      }),
    ),
    clear: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether clients may speak HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3). HTTP/1.1 is told apart by the first bytes.',
      }),
    ),
    maxConcurrentStreams: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000,
        default: 100,
        description: 'Requests that one connection may have under way.',
      }),
    ),
  },
  { ...closed, description: 'HTTP/2 for clients (RFC 9113).' },
);
export type Http2Options = Type.Static<typeof Http2Options>;

export const RedirectOptions = Type.Object(
  {
    port: Type.Unsafe<number>({ ...Port, description: 'The port; plain HTTP.' }),
    toPort: Type.Optional(
      Type.Unsafe<number>({
        ...Port,
        description: 'The port of HTTPS as clients see it. Default: `listen.port`.',
      }),
    ),
    hosts: Type.Optional(
      Type.Array(Type.String({ pattern: '^(?:\\*\\.)?[A-Za-z0-9.-]+$' }), {
        minItems: 1,
        description: 'Hosts that are led on, `*.example.com` among them. Default: those that a certificate is for.',
      }),
    ),
    acmeChallenges: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Folder whose files answer `/.well-known/acme-challenge/TOKEN` (RFC 8555 section 8.3) instead of a redirect.',
      }),
    ),
  },
  {
    ...closed,
    description: 'A second port that leads clients of plain HTTP to HTTPS (308). Needs `listen.tls`.',
  },
);
export type RedirectOptions = Type.Static<typeof RedirectOptions>;

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
    http2: Type.Optional(Http2Options),
    redirect: Type.Optional(RedirectOptions),
  },
  { ...closed, description: 'The public port: GraphQL, REST routes, health.' },
);
export type ListenOptions = Type.Static<typeof ListenOptions>;
