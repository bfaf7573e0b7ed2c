/**
 * The client's certificate as a proxy that ended its TLS hands it on. Whether the proxy may is for the caller to know; the
 * certificate itself is verified here once more, so that a mistake in the proxy's own checks opens nothing.
 */
import { hash, X509Certificate } from 'node:crypto';
import Type from 'typebox';
import { type ClientCertificate, readClientCertificate } from './client-certificate.ts';
import { GatewayError } from './errors.ts';
import { OneOf } from './units.ts';

export const CertificateHeaderOptions = Type.Object(
  {
    name: Type.Optional(
      OneOf(['client-cert', 'x-forwarded-client-cert'], {
        default: 'client-cert',
        description:
          '`client-cert`: base64 of DER between colons (RFC 9440). `x-forwarded-client-cert`: as Envoy writes it, with `Cert`, or PEM in URL encoding, as nginx does.',
      }),
    ),
    ca: Type.String({
      minLength: 1,
      description: 'File with the certificates (PEM) of which one must have signed those of clients.',
    }),
  },
  { additionalProperties: false, description: 'Certificates of clients whose TLS ends at one of `trustedProxies`.' },
);
export type CertificateHeaderOptions = Type.Static<typeof CertificateHeaderOptions>;
export type CertificateHeaderName = NonNullable<CertificateHeaderOptions['name']>;

/** Reads a header's value. Throws UNAUTHENTICATED for anything but a certificate of a known CA. */
export type CertificateHeaderReader = (value: string) => ClientCertificate;

const maxRemembered = 1_000;
/** Extended key usages (RFC 5280 section 4.2.1.12): for clients, or for anything. */
const clientUsages = ['1.3.6.1.5.5.7.3.2', '2.5.29.37.0'];

/** Builds the reader. Throws where `authorities`, the text of a PEM file, has no CA in it. */
export function createCertificateHeaderReader(
  name: CertificateHeaderName,
  authorities: string,
  now: () => number = Date.now,
): CertificateHeaderReader {
  const issuers = parseAuthorities(authorities);
  const remembered = new Map<string, ClientCertificate>();

  function read(value: string): ClientCertificate {
    const certificate = parseHeader(name, value);
    const issuer = issuers.find((one) => certificate.checkIssued(one) && certificate.verify(one.publicKey));
    if (issuer === undefined) throw refuse('is of no known CA');
    if (now() >= issuer.validToDate.getTime()) throw refuse('is of a CA that has expired');
    const usages = certificate.keyUsage as readonly string[] | undefined;
    if (usages?.some((usage) => clientUsages.includes(usage)) === false) throw refuse('is not for clients');
    return readClientCertificate(certificate, issuer);
  }

  return (value) => {
    const digest = hash('sha256', value, 'base64');
    const known = remembered.get(digest);
    if (known !== undefined) return known;
    const certificate = read(value);
    const oldest = remembered.size >= maxRemembered ? remembered.keys().next().value : undefined;
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(digest, certificate);
    return certificate;
  };
}

function refuse(what: string, cause?: unknown): GatewayError {
  return new GatewayError('UNAUTHENTICATED', `The client certificate ${what}`, { cause });
}

function parseAuthorities(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const issuers = blocks.map((block) => new X509Certificate(block));
  if (issuers.length === 0) throw new TypeError('there is no certificate in the file of the CA');
  if (!issuers.every(({ ca }) => ca)) throw new TypeError('a certificate in the file of the CA is none of a CA');
  return issuers;
}

function parseHeader(name: CertificateHeaderName, value: string): X509Certificate {
  try {
    return new X509Certificate(name === 'client-cert' ? parseBytes(value) : parsePem(value));
  } catch (cause) {
    throw refuse('cannot be read', cause);
  }
}

/** RFC 9440 section 2.1: a byte sequence (RFC 9651 section 3.3.5). Two fields, joined by a comma, are none. */
function parseBytes(value: string): Buffer {
  const match = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(value.trim());
  if (match?.[1] === undefined) throw new TypeError('it is no byte sequence');
  return Buffer.from(match[1], 'base64');
}

function parsePem(value: string): string {
  const text = value.trim();
  const encoded = text.startsWith('-----BEGIN') ? text : findCertificate(text);
  if (encoded === undefined) throw new TypeError('there is no Cert in it');
  return decodeURIComponent(encoded);
}

/** Of several elements the last: that of the proxy which is trusted. What stands before it, others may have written. */
function findCertificate(text: string): string | undefined {
  const element = text.match(/(?:"(?:[^"\\]|\\.)*"|[^",])+/g)?.at(-1) ?? '';
  const found = [...element.matchAll(/(?:^|;)\s*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^;"]*))/g)].filter(
    ([, key = '']) => key.toLowerCase() === 'cert',
  );
  return found.length === 1 ? (found[0]?.[2] ?? found[0]?.[3]) : undefined;
}
