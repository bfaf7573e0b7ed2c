/** The package: `import { createGateway, defineConfig } from 'selvage'`. */
export type { GatewayConfig } from './config-schema.ts';
export { defineConfig } from './define-config.ts';
export { createGateway, type Gateway, type GatewayAddresses } from './gateway.ts';
export * from './plugin.ts';
