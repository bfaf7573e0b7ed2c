/** What a configuration file and a plugin import from 'selvage'. Small: files find it without the package as well. */
import type { GatewayConfig } from './config-schema.ts';

export { definePlugin } from './plugin.ts';

/** Gives `selvage.config.ts` its types: `export default defineConfig({ ... })`. */
export function defineConfig(config: GatewayConfig): GatewayConfig {
  return config;
}
