/** How plugins do: time and failures by plugin and hook. Their names come from the configuration, so they are few. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export interface PluginMetrics {
  observeHook(plugin: string, hook: string, durationMs: number): void;
  observeFailure(plugin: string, hook: string, kind: string): void;
  /** A hook is not called for a while, or is called again. */
  observeCircuit(plugin: string, hook: string, open: boolean): void;
  observeBypass(plugin: string, hook: string): void;
  /** An instance is gone: its circuits say nothing any more. */
  forget(plugin: string): void;
}

export function createPluginMetrics(registry: Registry): PluginMetrics {
  const registers = [registry];
  const durations = new Histogram({
    name: 'selvage_plugin_duration_seconds',
    help: 'Time that a hook of a plugin took; at most its timeout.',
    labelNames: ['plugin', 'hook'],
    buckets: [0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1],
    registers,
  });
  const failures = new Counter({
    name: 'selvage_plugin_failures_total',
    help: 'Failures of plugins: throw, reject, timeout, invalid (what is no result), stray (a promise nobody awaited).',
    labelNames: ['plugin', 'hook', 'kind'],
    registers,
  });
  const circuits = new Gauge({
    name: 'selvage_plugin_circuit_open',
    help: 'Whether a hook is not called for a while because it failed again and again. Of several workers, any.',
    labelNames: ['plugin', 'hook'],
    aggregator: 'max',
    registers,
  });
  const bypasses = new Counter({
    name: 'selvage_plugin_bypassed_total',
    help: 'Hooks that were not called because their circuit was open.',
    labelNames: ['plugin', 'hook'],
    registers,
  });
  const seen = new Set<string>();
  return {
    observeHook: (plugin, hook, durationMs) => durations.observe({ plugin, hook }, durationMs / 1_000),
    observeFailure: (plugin, hook, kind) => failures.inc({ plugin, hook, kind }),
    observeCircuit(plugin, hook, open) {
      circuits.set({ plugin, hook }, open ? 1 : 0);
      seen.add(hook);
    },
    observeBypass: (plugin, hook) => bypasses.inc({ plugin, hook }),
    forget(plugin) {
      for (const hook of seen) circuits.remove(plugin, hook);
    },
  };
}
