/** What becomes of connections that have left HTTP. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { createLabelBound, createSeries } from './metrics-series.ts';

export interface UpgradeMetrics {
  onOpen(service: string, protocol: string): void;
  onBytes(service: string, from: string, bytes: number): void;
  onEnd(service: string, reason: string, durationMs: number): void;
}

/** In seconds: from a page that was left at once to a day. */
const lifetimeBuckets = [1, 5, 15, 60, 300, 900, 3_600, 14_400, 43_200, 86_400];

export function createUpgradeMetrics(registry: Registry, maxLabelValues: number): UpgradeMetrics {
  const registers = [registry];
  const open = new Gauge({
    name: 'selvage_upgrades_open',
    help: 'Open connections that have left HTTP, such as WebSockets.',
    labelNames: ['service'],
    registers,
  });
  const total = new Counter({
    name: 'selvage_upgrades_total',
    help: 'Connections that have left HTTP.',
    labelNames: ['service', 'protocol'],
    registers,
  });
  const bytes = new Counter({
    name: 'selvage_upgrade_bytes_total',
    help: 'Bytes of connections that have left HTTP, by who sent them: client or service.',
    labelNames: ['service', 'from'],
    registers,
  });
  const ends = new Counter({
    name: 'selvage_upgrades_ended_total',
    help: 'Connections that had left HTTP and are over, by why: client, service (who closed), client-broken, service-broken, idle, lifetime, drain, cut.',
    labelNames: ['service', 'reason'],
    registers,
  });
  const durations = new Histogram({
    name: 'selvage_upgrade_duration_seconds',
    help: 'How long connections lasted that had left HTTP.',
    labelNames: ['service'],
    buckets: lifetimeBuckets,
    registers,
  });
  const bound = createLabelBound(maxLabelValues);
  const few = createLabelBound(50);
  const openSeries = createSeries([bound], (...labels) => open.labels(...labels));
  const totalSeries = createSeries([bound, few], (...labels) => total.labels(...labels));
  const byteSeries = createSeries([bound, few], (...labels) => bytes.labels(...labels));
  const endSeries = createSeries([bound, few], (...labels) => ends.labels(...labels));
  const durationSeries = createSeries([bound], (...labels) => durations.labels(...labels));
  return {
    onOpen(service, protocol) {
      openSeries(service).inc();
      totalSeries(service, protocol).inc();
    },
    onBytes: (service, from, count) => byteSeries(service, from).inc(count),
    onEnd(service, reason, durationMs) {
      openSeries(service).dec();
      endSeries(service, reason).inc();
      durationSeries(service).observe(durationMs / 1_000);
    },
  };
}
