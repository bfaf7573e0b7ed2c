/** Where the modules of plugins are: worked out once, beside the configuration that names them. */
import type { Mistake, ValuePath } from '../policies/schema-mistakes.ts';
import { buildConfigError, type Locate } from './config.ts';
import type { GatewayConfig } from './config-schema.ts';
import { resolveModule } from './plugin-module.ts';

/**
 * The configuration with the absolute files of its plugins: those who load them, workers among them, may be elsewhere.
 * Throws with the place of each that cannot be found.
 */
export function resolvePlugins(config: GatewayConfig, folder: string, locate: Locate): GatewayConfig {
  const { plugins, graphql } = config;
  if (plugins === undefined && graphql?.plugins === undefined) return config;
  const mistakes: Mistake[] = [];
  const resolveEntry = <Entry extends { readonly module?: string }>(entry: Entry, path: ValuePath): Entry => {
    if (entry.module === undefined) return entry;
    try {
      return { ...entry, module: resolveModule(entry.module, folder) };
    } catch {
      const hint = entry.module.includes('/') ? '; a file is named with ./ in front' : '';
      mistakes.push({ path: [...path, 'module'], message: `no package ${entry.module} can be found here${hint}` });
      return entry;
    }
  };
  const resolved: GatewayConfig = {
    ...config,
    ...(plugins && { plugins: plugins.map((entry, index) => resolveEntry(entry, ['plugins', index])) }),
    ...(graphql?.plugins && {
      graphql: {
        ...graphql,
        plugins: graphql.plugins.map((entry, index) => resolveEntry(entry, ['graphql', 'plugins', index])),
      },
    }),
  };
  if (mistakes.length > 0) throw buildConfigError(mistakes, locate);
  return resolved;
}
