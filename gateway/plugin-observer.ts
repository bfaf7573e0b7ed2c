/** What log and metrics are told of plugins: every failure is counted, and a plugin that goes on failing fills no log. */
import type { Log } from './log.ts';
import type { PluginMetrics } from './metrics-plugins.ts';
import type { PluginObserver } from './plugin-guard.ts';

/** Between two lines that say the same of one hook. */
const quietMs = 10_000;

export function createPluginObserver(
  log: Pick<Log, 'warn' | 'info'>,
  metrics: PluginMetrics,
  now: () => number = () => performance.now(),
): PluginObserver {
  /** By plugin, hook and kind, of which there are few. */
  const lines = new Map<string, { atMs: number; suppressed: number }>();
  return {
    onHook: metrics.observeHook,
    onFailure(plugin, hook, kind, error) {
      metrics.observeFailure(plugin, hook, kind);
      const key = `${plugin} ${hook} ${kind}`;
      const last = lines.get(key);
      const nowMs = now();
      if (last !== undefined && nowMs - last.atMs < quietMs) {
        last.suppressed++;
        return;
      }
      lines.set(key, { atMs: nowMs, suppressed: 0 });
      const suppressed = last?.suppressed ?? 0;
      log.warn('a plugin failed', { plugin, hook, kind, error, ...(suppressed > 0 && { suppressed }) });
    },
    onCircuit(plugin, hook, open) {
      metrics.observeCircuit(plugin, hook, open);
      if (open) log.warn('a plugin fails again and again and is not called for a while', { plugin, hook });
      else log.info('a plugin works again', { plugin, hook });
    },
    onBypass: metrics.observeBypass,
  };
}
