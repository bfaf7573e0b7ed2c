/** What a JSON Schema cannot say about plugins. */
import type { Mistake } from '../policies/schema-mistakes.ts';
import type { GatewayConfig } from './config-schema.ts';

const wellFormedName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Everything that is wrong with the plugins of a configuration that fits the schema. */
export function findPluginMistakes({ plugins = [], workers = 1 }: GatewayConfig): Mistake[] {
  return plugins.flatMap(({ module, plugin }, index): Mistake[] => {
    const path = ['plugins', index];
    if ((module === undefined) === (plugin === undefined))
      return [{ path, message: 'say either `module`, a file or package, or `plugin`, an object' }];
    if (plugin === undefined) return [];
    if (workers !== 1)
      return [
        {
          path: [...path, 'plugin'],
          message:
            'a plugin that is an object cannot be handed to worker processes, which share no memory: name its file as `module`, or set `workers: 1`',
        },
      ];
    return wellFormedName.test(plugin.name)
      ? []
      : [{ path: [...path, 'plugin'], message: 'is no plugin: it has no `name`, or not one for logs and metrics' }];
  });
}

/** Whether a plugin may be called so: the name is a label of metrics. */
export function isPluginName(name: unknown): name is string {
  return typeof name === 'string' && wellFormedName.test(name);
}
