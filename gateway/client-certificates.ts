/** Where the certificate of a client comes from: its own connection, or a proxy that is trusted. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { createCertificateHeaderReader } from '../policies/certificate-header.ts';
import { createProxyTrust } from '../policies/client-address.ts';
import { type ClientCertificate, readClientCertificate } from '../policies/client-certificate.ts';
import { GatewayError } from '../policies/errors.ts';
import type { Settings } from './config.ts';

/** The verified certificate of a request's client; null without one. Throws UNAUTHENTICATED for one that is not valid. */
export type CertificateResolver = (request: IncomingMessage) => ClientCertificate | null;

/** Builds the resolver; undefined where nobody asks for certificates. Rejects where the file with the CA cannot be used. */
export async function createCertificateResolver(settings: Settings): Promise<CertificateResolver | undefined> {
  const { authentication, listen, trustedProxies } = settings;
  const { clientCertificateHeader: header } = authentication;
  if ((listen.tls?.clientCertificates ?? 'none') === 'none' && header === undefined) return undefined;
  const readConnection = createConnectionReader();
  if (header === undefined) return ({ socket }) => readConnection(socket);

  const isTrusted = createProxyTrust(trustedProxies);
  const name = header.name ?? 'client-cert';
  const readHeader = createCertificateHeaderReader(name, await readFile(header.ca, 'utf8'));
  return ({ socket, headers }) => {
    // The certificate of the proxy's own connection says who the proxy is, not who its client is.
    if (!isTrusted(socket.remoteAddress)) return readConnection(socket);
    const value = headers[name];
    return value === undefined || value === '' ? null : readHeader(String(value));
  };
}

function createConnectionReader(): (socket: object) => ClientCertificate | null {
  const known = new WeakMap<object, ClientCertificate>();
  return (socket) => {
    if (!(socket instanceof TLSSocket)) return null;
    const found = known.get(socket) ?? readConnection(socket);
    if (found !== null) known.set(socket, found);
    return found;
  };
}

function readConnection(socket: TLSSocket): ClientCertificate | null {
  // Asked first: a connection that resumes one without a certificate counts as authorized as well.
  const { raw, issuerCertificate } = socket.getPeerCertificate(true);
  if (raw === undefined) return null;
  if (!socket.authorized) {
    const cause = socket.authorizationError;
    throw new GatewayError('UNAUTHENTICATED', 'The client certificate is not valid', { cause });
  }
  const issuer = issuerCertificate?.raw;
  return readClientCertificate(new X509Certificate(raw), issuer && new X509Certificate(issuer));
}
