/** Client certificates: from what stands in a verified one to a viewer. */
import type { X509Certificate } from 'node:crypto';
import Type from 'typebox';
import { buildClaimsViewer } from './claims-viewer.ts';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';

const fingerprintPattern = '^[0-9a-fA-F]{2}(:?[0-9a-fA-F]{2}){31}$';

export const ClientCertificateRule = Type.Object(
  {
    san: Type.Optional(
      Type.String({
        pattern: '^(?:[^*\\s]+|[A-Za-z][A-Za-z0-9+.-]*:[^*\\s]*[/:]\\*)$',
        description:
          'A name among the subject alternative names: a URI, a DNS name, or an e-mail address. `*` at the end of a URI, behind `/` or `:`, stands for anything, e.g. `spiffe://shop.example/ns/orders/*`.',
      }),
    ),
    subject: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'The whole subject, in the order of the certificate, e.g. `O=Shop, CN=orders`.',
      }),
    ),
    fingerprint: Type.Optional(
      Type.String({ pattern: fingerprintPattern, description: 'SHA-256 of the certificate, in hex.' }),
    ),
    issuerFingerprint: Type.Optional(
      Type.String({
        pattern: fingerprintPattern,
        description: 'SHA-256 of the certificate that signed it, in hex: where several CAs are trusted.',
      }),
    ),
    name: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
        description: 'The viewer id. Default: the name that fits `san`, else the subject.',
      }),
    ),
    scopes: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { default: [], description: 'Scopes that the certificate grants.' }),
    ),
    roles: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { default: [], description: 'Roles that the certificate grants.' }),
    ),
  },
  { additionalProperties: false },
);
export type ClientCertificateRule = Type.Static<typeof ClientCertificateRule>;

export type NameKind = 'uri' | 'dns' | 'email';

/** A certificate whose chain somebody has verified. */
export interface ClientCertificate {
  /** `C=DE, O=Shop, CN=orders`. */
  readonly subject: string;
  readonly names: readonly { readonly kind: NameKind; readonly value: string }[];
  /** SHA-256 in lower-case hex, as the next. */
  readonly fingerprint: string;
  readonly issuerFingerprint: string | undefined;
  readonly validFromMs: number;
  readonly validToMs: number;
}

export interface CertificateViewers {
  /** The viewer of a certificate; null where no rule is about it. Throws UNAUTHENTICATED where it is out of its time. */
  identify(certificate: ClientCertificate): Viewer | null;
}

/** Also where it was verified when the connection began: connections live for days. */
export function assertCertificateTime({ validFromMs, validToMs }: ClientCertificate, nowMs: number): void {
  if (nowMs < validToMs && nowMs >= validFromMs) return;
  throw new GatewayError('UNAUTHENTICATED', 'The client certificate is out of its time');
}

type Rule = (certificate: ClientCertificate) => Viewer | null;

/** Builds the table of rules. The first that fits counts. */
export function createCertificateViewers(
  options: readonly ClientCertificateRule[],
  now: () => number = Date.now,
): CertificateViewers {
  const rules = options.map(buildRule);
  return {
    identify(certificate) {
      assertCertificateTime(certificate, now());
      for (const rule of rules) {
        const viewer = rule(certificate);
        if (viewer !== null) return viewer;
      }
      return null;
    },
  };
}

function buildRule(options: ClientCertificateRule): Rule {
  const { subject, name, scopes, roles } = options;
  const wanted = options.san === undefined ? undefined : parseNamePattern(options.san);
  const fingerprint = normalizeFingerprint(options.fingerprint);
  const issuerFingerprint = normalizeFingerprint(options.issuerFingerprint);
  return (certificate) => {
    if (subject !== undefined && subject !== certificate.subject) return null;
    if (fingerprint !== undefined && fingerprint !== certificate.fingerprint) return null;
    if (issuerFingerprint !== undefined && issuerFingerprint !== certificate.issuerFingerprint) return null;
    const found = wanted && certificate.names.find((one) => one.kind === wanted.kind && wanted.fits(one.value));
    if (wanted !== undefined && found === undefined) return null;
    return buildViewer(certificate, name ?? found?.value ?? certificate.subject, scopes, roles);
  };
}

/** `jti` and `iat` let a certificate be revoked: by its fingerprint, or all that a viewer got up to a time. */
function buildViewer(certificate: ClientCertificate, id: string, scopes: unknown, roles: unknown): Viewer {
  const { subject, names, fingerprint, validFromMs } = certificate;
  const claims = { jti: fingerprint, iat: Math.floor(validFromMs / 1_000), subject, names: names.map((n) => n.value) };
  return buildClaimsViewer({ id, kind: 'certificate', issuer: 'certificate', scopes, roles, claims });
}

function normalizeFingerprint(text: string | undefined): string | undefined {
  return text?.replaceAll(':', '').toLowerCase();
}

/** Which kind of name a pattern is about. A name of another kind never fits, however it reads: CAs check each differently. */
export function classifyName(text: string): NameKind {
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(text)) return 'uri';
  return text.includes('@') ? 'email' : 'dns';
}

function parseNamePattern(pattern: string): { kind: NameKind; fits: (value: string) => boolean } {
  const kind = classifyName(pattern);
  const exact = kind === 'dns' ? pattern.toLowerCase() : pattern;
  if (!pattern.endsWith('*')) return { kind, fits: (value) => value === exact };
  const prefix = exact.slice(0, -1);
  return { kind, fits: (value) => value.startsWith(prefix) };
}

/** A test whether alternative names, as Node writes them, have one that fits a pattern. */
export function createNameTest(pattern: string): (subjectAltName: string) => boolean {
  const { kind, fits } = parseNamePattern(pattern);
  return (text) => parseAlternativeNames(text).some((one) => one.kind === kind && fits(one.value));
}

/** What authentication reads of a certificate. */
export function readClientCertificate(
  certificate: X509Certificate,
  issuer: X509Certificate | undefined,
): ClientCertificate {
  const { subject, subjectAltName, fingerprint256, validFromDate, validToDate } = certificate;
  return {
    subject: (subject ?? '').split('\n').join(', '),
    names: parseAlternativeNames(subjectAltName ?? ''),
    fingerprint: normalizeFingerprint(fingerprint256) ?? '',
    issuerFingerprint: normalizeFingerprint(issuer?.fingerprint256),
    validFromMs: validFromDate.getTime(),
    validToMs: validToDate.getTime(),
  };
}

const nameKinds: Readonly<Record<string, NameKind>> = { URI: 'uri', DNS: 'dns', email: 'email' };

/**
 * Node writes `URI:spiffe://a, DNS:b`, and puts a value that could be read as more than one name in quotes of JSON
 * (CVE-2021-44532). Other kinds are left out.
 */
function parseAlternativeNames(text: string): ClientCertificate['names'] {
  const names: { kind: NameKind; value: string }[] = [];
  let read = 0;
  for (const [whole, label = '', quoted, plain = ''] of text.matchAll(alternativeName)) {
    read += whole.length;
    const kind = Object.hasOwn(nameKinds, label) ? nameKinds[label] : undefined;
    if (kind === undefined) continue;
    const value = quoted === undefined ? plain : (JSON.parse(quoted) as string);
    names.push({ kind, value: kind === 'dns' ? value.toLowerCase() : value });
  }
  // What cannot be read whole names nobody.
  return read === text.length ? names : [];
}

/** Sticky: one name begins where the one before ends, and nowhere else. */
const alternativeName = /([^:,"]+):(?:("(?:[^"\\]|\\.)*")|([^,"]*))(?:, |$)/gy;
