/** Sections of a configuration, with every default applied and in numbers. */
import type { PersistedOperationOptions } from '../policies/persisted-operation-options.ts';
import { parseDurationMs, parsePercentage, parseSizeBytes } from '../policies/units.ts';
import { defaultMassExpiry, type MassExpirySettings } from '../subgraphs/mass-expiry.ts';
import { buildClientLimits } from './client-limits.ts';
import type { PersistedOperationSettings, Settings } from './config.ts';
import type { GatewayConfig } from './config-schema.ts';

/** Where the registry lives. */
export function buildStore(store: NonNullable<GatewayConfig['store']>): Settings['store'] {
  if (typeof store === 'object') return { kind: 'redis', ...store };
  if (store === 'memory') return { kind: 'memory' };
  if (store.startsWith('file:')) return { kind: 'file', directory: store.slice('file:'.length) };
  return { kind: 'redis', redis: { url: store } };
}

/** With every default applied. */
export function buildPersistedOperations(options: PersistedOperationOptions): PersistedOperationSettings {
  return {
    mode: options.mode ?? 'off',
    source: options.source,
    // Not in a circle without a pause, whatever is written.
    reloadMs: Math.max(10, parseDurationMs(options.reload ?? '30s')),
    copy: options.copy,
    allowArbitrary: options.allowArbitrary ?? [],
    trustPersisted: options.trustPersisted ?? false,
    apq: options.apq ?? true,
    apqTtlMs: parseDurationMs(options.apqTtl ?? '24h'),
    apqMaxBytes: wholeBytes(options.apqMaxSize ?? '16mb'),
  };
}

/** With every default applied. */
export function buildMassExpiry(
  options: NonNullable<NonNullable<GatewayConfig['registry']>['massExpiry']>,
): MassExpirySettings {
  return {
    share: options.share === undefined ? defaultMassExpiry.share : parsePercentage(options.share),
    minimum: options.minimum ?? defaultMassExpiry.minimum,
    patienceMs: options.patience === undefined ? defaultMassExpiry.patienceMs : parseDurationMs(options.patience),
  };
}

/** In numbers. */
export function buildLimits(limits: NonNullable<GatewayConfig['limits']>): Settings['limits'] {
  return {
    maxBodyBytes: wholeBytes(limits.maxBodySize ?? '10mb'),
    maxGraphqlBodyBytes: wholeBytes(limits.maxGraphqlBodySize ?? '1mb'),
    maxSubgraphResponseBytes: wholeBytes(limits.maxSubgraphResponseSize ?? '64mb'),
    maxHeaderBytes: wholeBytes(limits.maxHeaderSize ?? '16kb'),
    headersTimeoutMs: parseDurationMs(limits.headersTimeout ?? '10s'),
    bodyIdleTimeoutMs: parseDurationMs(limits.bodyIdleTimeout ?? '60s'),
    ...buildClientLimits(limits),
    maxUpgrades: limits.maxUpgrades ?? 20_000,
  };
}

/** `1.3kb` is no whole number of bytes, and Node's limits must be. */
export function wholeBytes(size: string): number {
  return Math.round(parseSizeBytes(size));
}
