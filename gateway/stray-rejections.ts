/**
 * Promises of plugins that nobody awaits: their failures shall neither end the process nor remain nameless. Whose they are
 * is read from the stack, where the file of a plugin stands.
 */
import type { PluginInstance } from './plugin-instance.ts';

export interface StrayRejections extends Disposable {
  watch(instances: readonly PluginInstance[]): void;
}

/** Listens as long as there are plugins of files. `onStray` is told the name of the plugin. */
export function watchStrayRejections(onStray: (plugin: string, error: unknown) => void): StrayRejections {
  /** By URL of the file. A plugin that is gone may still have something running. */
  const files = new Map<string, string>();

  function judge(reason: unknown): void {
    const stack = reason instanceof Error ? (reason.stack ?? '') : '';
    const found = [...files].find(([url]) => stack.includes(url));
    if (found !== undefined) {
      onStray(found[1], reason);
      return;
    }
    // Somebody else's. Without us Node would end the process; where we alone listen, that still is what happens.
    if (process.listenerCount('unhandledRejection') === 1) throw reason;
  }

  return {
    watch(instances) {
      for (const { loaded, name } of instances) if (loaded.url !== undefined) files.set(loaded.url, name);
      if (files.size > 0 && !process.listeners('unhandledRejection').includes(judge))
        process.on('unhandledRejection', judge);
    },
    [Symbol.dispose]() {
      process.off('unhandledRejection', judge);
    },
  };
}
