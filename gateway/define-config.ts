import type { GatewayConfig } from './config-schema.ts';

/** Gives `selvage.config.ts` its types: `export default defineConfig({ ... })`. */
export function defineConfig(config: GatewayConfig): GatewayConfig {
  return config;
}
