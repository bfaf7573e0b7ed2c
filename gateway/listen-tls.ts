/** TLS of the public port: what its certificates are now, and what becomes of files that change. */
import { type TlsOptions as ServerTlsOptions, Server as TlsServer } from 'node:tls';
import { parseDurationMs } from '../policies/units.ts';
import { type FileWatch, watchFiles } from '../subgraphs/file-watch.ts';
import type { TlsOptions } from './listen-options.ts';
import type { Log } from './log.ts';
import type { TlsMetrics } from './metrics-tls.ts';
import { type CertificateSet, listCertificateFiles, loadCertificates } from './server-certificates.ts';

export interface ListenTlsOptions {
  readonly log: Log;
  readonly metrics: TlsMetrics;
  /** Whether clients may choose HTTP/2. */
  readonly http2: boolean;
  /** @default 10_000 */
  readonly watchIntervalMs?: number;
  /** @default Date.now */
  readonly now?: () => number;
}

export interface ListenTls extends AsyncDisposable {
  /** For the server that is to be created. */
  readonly options: ServerTlsOptions;
  /** Lets a server, made with the options, have what the files hold from now on. */
  serve(server: object): void;
  /** Whether a request for this host belongs on a connection that was made for another certificate. */
  isMisdirected(serverName: string | false | undefined, host: string): boolean;
  /** Whether a certificate is for this host. */
  covers(host: string): boolean;
  /** Looks at the files at once. */
  check(): Promise<void>;
}

/** Time in which somebody can still do something about a certificate that ends. */
const warningMs = 14 * 86_400_000;
const reminderMs = 12 * 3_600_000;

/** Reads the files, and reads them again when they change. Rejects where they are bad at the start. */
export async function openListenTls(options: TlsOptions, surroundings: ListenTlsOptions): Promise<ListenTls> {
  const { log, metrics, http2, watchIntervalMs, now = Date.now } = surroundings;
  const { clientCertificates = 'none', handshakeTimeout = '10s' } = options;
  const servers = new Set<TlsServer>();
  let current: CertificateSet;

  function tell(): void {
    metrics.observeCertificates(current.all);
    for (const { file, validToMs } of current.all) {
      const leftMs = validToMs - now();
      if (leftMs > warningMs) continue;
      const facts = { certificate: file, validTo: new Date(validToMs).toISOString() };
      log.warn(leftMs > 0 ? 'a certificate ends soon' : 'a certificate has ended', facts);
    }
  }

  function take(next: CertificateSet): void {
    current = next;
    // Connections that are open stay as they are; tickets of before are worth nothing: who resumes shows himself anew.
    for (const server of servers) server.setSecureContext(next.secure);
    tell();
    log.info('certificates were read again', { certificates: next.all.map(({ file }) => file) });
  }

  // The watch begins before the files are read: what changes meanwhile is not missed.
  const watching: FileWatch = await watchFiles({
    files: listCertificateFiles(options),
    load: () => loadCertificates(options),
    onChange: take,
    onError: (error) => log.error('certificates are bad: the old ones serve on', { error }),
    intervalMs: watchIntervalMs,
  });
  try {
    current = await loadCertificates(options);
  } catch (error) {
    await watching.close();
    throw error;
  }
  tell();
  const reminder = setInterval(tell, reminderMs).unref();
  return {
    options: {
      ...current.secure,
      SNICallback: (name, done) => done(null, current.find(name).context),
      ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
      handshakeTimeout: parseDurationMs(handshakeTimeout),
      requestCert: clientCertificates !== 'none',
      rejectUnauthorized: clientCertificates === 'require',
    },
    serve(server) {
      if (!(server instanceof TlsServer)) throw new TypeError('expected a server with TLS');
      servers.add(server);
    },
    isMisdirected(serverName, host) {
      if (current.all.length === 1) return false;
      return current.find(host) !== current.find(serverName || '');
    },
    covers: (host) => current.covers(host),
    check: watching.check,
    async [Symbol.asyncDispose]() {
      clearInterval(reminder);
      await watching.close();
    },
  };
}
