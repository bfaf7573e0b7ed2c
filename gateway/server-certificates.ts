/** Certificates of the public port: read from files, checked, and found by the name that a client asks for. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { TlsOptions } from './listen-options.ts';

export interface ServerCertificate {
  /** The file, as configured. */
  readonly file: string;
  readonly context: SecureContext;
  readonly validToMs: number;
}

/** What the files hold at one time. */
export interface CertificateSet {
  /** Of the certificate for clients that name no server, or one that none is for. */
  readonly secure: SecureContextOptions;
  readonly all: readonly ServerCertificate[];
  /** The certificate that a client gets who asks for this name. */
  find(name: string): ServerCertificate;
  /** Whether one of them is for this host, or address. */
  covers(host: string): boolean;
}

interface Pair {
  readonly certificate: string;
  readonly key: string;
  readonly names?: readonly string[];
}

interface LoadedPair extends ServerCertificate {
  readonly x509: X509Certificate;
  readonly names: readonly string[];
  readonly secure: SecureContextOptions;
}

/** All files that {@link loadCertificates} reads. */
export function listCertificateFiles({ certificate, key, certificates = [], clientCa }: TlsOptions): string[] {
  const pairs = certificates.flatMap((pair) => [pair.certificate, pair.key]);
  return [certificate, key, ...pairs, ...(clientCa === undefined ? [] : [clientCa])];
}

/** Reads the files. Rejects where one cannot be read, or certificate and key do not fit; no message holds a part of a key. */
export async function loadCertificates(options: TlsOptions): Promise<CertificateSet> {
  const { clientCa, minVersion = 'TLSv1.2', ciphers, certificates = [] } = options;
  assertCiphers(ciphers);
  const ca = clientCa === undefined ? undefined : await readNamed('clientCa', clientCa);
  const shared = { minVersion, ...(ciphers !== undefined && { ciphers }), ...(ca !== undefined && { ca }) };
  const [fallback, ...others] = await Promise.all([
    loadPair(options, shared, ''),
    ...certificates.map((pair, index) => loadPair(pair, shared, `certificates[${index}].`)),
  ]);
  const byName = new Map<string, ServerCertificate>();
  // The first that has a name gets it.
  for (const one of [...others, { ...fallback, names: namesOf(fallback.x509) }].reverse())
    for (const name of one.names) byName.set(name, one.x509 === fallback.x509 ? fallback : one);
  const all = [fallback, ...others];
  return {
    secure: fallback.secure,
    all,
    find(name) {
      const exact = normalizeName(name);
      // RFC 9525 section 6.3: a wildcard stands for one label, the first.
      return byName.get(exact) ?? byName.get(`*${exact.slice(Math.max(0, exact.indexOf('.')))}`) ?? fallback;
    },
    covers: (host) =>
      all.some(({ x509 }) => (isIP(host) === 0 ? x509.checkHost(host) : x509.checkIP(host)) !== undefined),
  };
}

async function loadPair(pair: Pair, shared: SecureContextOptions, at: string): Promise<LoadedPair> {
  const [cert, key] = await Promise.all([
    readNamed(`${at}certificate`, pair.certificate),
    readNamed(`${at}key`, pair.key),
  ]);
  const secure = { ...shared, cert, key };
  try {
    const context = createSecureContext(secure);
    const x509 = new X509Certificate(cert);
    const names = (pair.names ?? namesOf(x509)).map(normalizeName);
    return { file: pair.certificate, context, x509, names, secure, validToMs: x509.validToDate.getTime() };
  } catch (cause) {
    const where = at === '' ? 'listen.tls' : `listen.tls.${at.slice(0, -1)}`;
    throw new Error(`${where}: the files hold no certificate and the key to it`, { cause });
  }
}

function assertCiphers(ciphers: string | undefined): void {
  if (ciphers === undefined) return;
  try {
    createSecureContext({ ciphers });
  } catch (cause) {
    throw new Error('listen.tls.ciphers: there is no such cipher suite', { cause });
  }
}

async function readNamed(name: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new Error(`listen.tls.${name}: ${file} cannot be read`, { cause });
  }
}

/** DNS names are letters without quotes or commas: what Node puts in quotes is none (CVE-2021-44532). */
function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:^|, )DNS:([^,"]+)(?=, |$)/g)].map(([, name = '']) => normalizeName(name));
}

function normalizeName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
