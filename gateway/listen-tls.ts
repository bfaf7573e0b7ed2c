/** TLS of the public port: what the files hold, checked before anything listens with it. */
import { readFile } from 'node:fs/promises';
import { createSecureContext, type TlsOptions as ServerTlsOptions } from 'node:tls';
import type { TlsOptions } from './listen-options.ts';

/** Longest handshake; Node's own two minutes are an invitation. */
const handshakeTimeoutMs = 10_000;

/** Reads the files. Rejects where one cannot be read, or certificate and key do not fit; no message holds a part of a key. */
export async function loadTls(options: TlsOptions): Promise<ServerTlsOptions> {
  const { clientCa, clientCertificates = 'none' } = options;
  const [cert, key, ca] = await Promise.all([
    readNamed('certificate', options.certificate),
    readNamed('key', options.key),
    clientCa === undefined ? undefined : readNamed('clientCa', clientCa),
  ]);
  const secure = { cert, key, minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) } as const;
  try {
    createSecureContext(secure);
  } catch (cause) {
    throw new Error('listen.tls: the files hold no certificate and the key to it', { cause });
  }
  return {
    ...secure,
    handshakeTimeout: handshakeTimeoutMs,
    requestCert: clientCertificates !== 'none',
    rejectUnauthorized: clientCertificates === 'require',
  };
}

async function readNamed(name: keyof TlsOptions, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new Error(`listen.tls.${name}: ${file} cannot be read`, { cause });
  }
}
