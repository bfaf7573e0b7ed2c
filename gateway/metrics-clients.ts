/** What clients' connections came to that never became a request, or not a whole one. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface ClientMetrics {
  /** A request that the parser refused: it has no line in the access log. */
  observeMalformed(code: string): void;
  /** A connection was cut: its client sent no body, or read no answer. */
  observeSlow(kind: 'body' | 'reader'): void;
  /** One was opened (1), or is over (-1). */
  observeConnections(change: 1 | -1): void;
  /** One was closed because there were `limits.maxConnections` of them. */
  observeRefused(): void;
}

export function createClientMetrics(registry: Registry): ClientMetrics {
  const registers = [registry];
  const malformed = new Counter({
    name: 'selvage_malformed_requests_total',
    help: 'Requests whose head could not be parsed, or did not come in time, by code of the answer.',
    labelNames: ['code'],
    registers,
  });
  const slow = new Counter({
    name: 'selvage_slow_clients_total',
    help: 'Clients given up after limits.clientIdleTimeout: body (sent too little), reader (read nothing of its answer).',
    labelNames: ['kind'],
    registers,
  });
  const open = new Gauge({
    name: 'selvage_client_connections',
    help: 'Open connections of clients to the public port.',
    registers,
  });
  const refused = new Counter({
    name: 'selvage_refused_connections_total',
    help: 'Connections of clients that were closed at once because of limits.maxConnections.',
    registers,
  });
  return {
    observeMalformed(code) {
      malformed.inc({ code });
    },
    observeSlow(kind) {
      slow.inc({ kind });
    },
    observeConnections: (change) => open.inc(change),
    observeRefused: () => refused.inc(),
  };
}
