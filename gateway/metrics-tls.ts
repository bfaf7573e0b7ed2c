/** TLS of the public port: handshakes that failed, and how long certificates are good for. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface TlsMetrics {
  /** A client and the gateway did not agree. */
  observeHandshakeFailure(error: NodeJS.ErrnoException): void;
  /** The certificates that serve from now on. */
  observeCertificates(all: readonly { readonly file: string; readonly validToMs: number }[]): void;
}

export function createTlsMetrics(registry: Registry): TlsMetrics {
  const registers = [registry];
  const failures = new Counter({
    name: 'selvage_tls_handshake_failures_total',
    help: 'TLS handshakes with clients that failed: timeout, left (the client went away), certificate (of the client), protocol.',
    labelNames: ['reason'],
    registers,
  });
  const ends = new Gauge({
    name: 'selvage_tls_certificate_end_timestamp_seconds',
    help: 'When a certificate of the public port ends. Of several workers, the soonest.',
    labelNames: ['certificate'],
    aggregator: 'min',
    registers,
  });
  return {
    observeHandshakeFailure: (error) => failures.inc({ reason: classify(error.code ?? '') }),
    observeCertificates(all) {
      ends.reset();
      for (const { file, validToMs } of all) ends.set({ certificate: file }, validToMs / 1_000);
    },
  };
}

function classify(code: string): string {
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'timeout';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'left';
  return /CERT|VERIFY|ISSUER|SIGNED|SIGNATURE/.test(code) ? 'certificate' : 'protocol';
}
