/** TLS towards the instances of a service: whom the gateway believes, and how it shows itself. */
import { X509Certificate } from 'node:crypto';
import Type from 'typebox';
import type { ErrorReason } from '../policies/errors.ts';
import { OneOf } from '../policies/units.ts';

const File = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 4_096, description }));

export const ServiceTlsOptions = Type.Object(
  {
    ca: File(
      'File with the CAs (PEM) that sign the certificates of the instances, in place of the public ones. In the configuration only.',
    ),
    caPem: Type.Optional(
      Type.String({ minLength: 1, maxLength: 262_144, description: 'The same, as PEM text in place of a file.' }),
    ),
    certificate: File(
      'File with the certificate that the gateway shows, and those between it and its CA (PEM). In the configuration only.',
    ),
    key: File('File with its private key (PEM). In the configuration only.'),
    serverName: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$',
        maxLength: 253,
        description:
          'The name that is asked for (SNI) and that the certificate must be for. Default: the host of the instance.',
      }),
    ),
    subjectAltName: Type.Optional(
      Type.Array(Type.String({ pattern: '^(?:[^*\\s]+|[A-Za-z][A-Za-z0-9+.-]*:[^*\\s]*[/:]\\*)$', maxLength: 2_048 }), {
        minItems: 1,
        maxItems: 100,
        description:
          'Names of which the certificate must have one, in place of the name of the host: URIs or DNS names. `*` at the end of a URI, behind `/` or `:`, stands for anything.',
        examples: [['spiffe://shop.example/ns/orders']],
      }),
    ),
    minVersion: Type.Optional(
      OneOf(['TLSv1.2', 'TLSv1.3'], { default: 'TLSv1.2', description: 'The oldest version that is spoken.' }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'TLS towards the instances, for calls, upgrades, checks and questions for the schema. With it every instance must have an `https` URL. Files are read again when they change; bad ones are refused and logged, and the old hold on.',
  },
);
export type ServiceTlsOptions = Type.Static<typeof ServiceTlsOptions>;

interface Definition {
  readonly tls?: ServiceTlsOptions;
  readonly instances?: readonly { readonly url: string }[];
}

/** What contradicts itself in the TLS of a definition. */
export function findTlsMistakes({ tls, instances = [] }: Definition): readonly ErrorReason[] {
  if (tls === undefined) return [];
  const { ca, caPem, certificate, key } = tls;
  const reasons: ErrorReason[] = [];
  if (ca !== undefined && caPem !== undefined) reasons.push({ path: '/tls', message: 'either `ca` or `caPem`' });
  if ((certificate === undefined) !== (key === undefined)) {
    reasons.push({ path: '/tls', message: '`certificate` and `key` come together' });
  }
  if (caPem !== undefined && !isCertificate(caPem)) {
    reasons.push({ path: '/tls/caPem', message: 'expected certificates in PEM' });
  }
  instances.forEach(({ url }, index) => {
    if (/^http:/i.test(url)) reasons.push({ path: `/instances/${index}/url`, message: '`tls` needs `https`' });
  });
  return reasons;
}

/**
 * The files of the gateway's own machine that a definition names. Who may register a service must not make the gateway read
 * them, nor show a certificate that was meant for somebody else.
 */
export function findFileReasons({ tls }: Definition): readonly ErrorReason[] {
  const names = (['ca', 'certificate', 'key'] as const).filter((name) => tls?.[name] !== undefined);
  return names.map((name) => ({
    path: `/tls/${name}`,
    message: `files are named in the configuration only${name === 'ca' ? '; a CA may come as `caPem`' : ''}`,
  }));
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).serialNumber !== '' && !pem.includes('PRIVATE KEY');
  } catch {
    return false;
  }
}
