/** What the environment and the command line say, laid over what the file says. Order: defaults < file < environment < flags. */
import type { Locate } from './config.ts';
import { formatPath } from './config.ts';
import type { Environment } from './config-yaml.ts';

/** One value that takes the place of the file's. */
export interface ConfigOverride {
  readonly path: readonly string[];
  readonly value: string | number;
  /** Who says so, for messages. */
  readonly source: string;
}

/** Variables of the environment that set something, and what they set. `SELVAGE_CONFIG` names the file itself. */
export const environmentVariables: Readonly<Record<string, readonly string[]>> = {
  HOST: ['listen', 'host'],
  PORT: ['listen', 'port'],
  ADMIN_HOST: ['admin', 'host'],
  ADMIN_PORT: ['admin', 'port'],
  SELVAGE_WORKERS: ['workers'],
  SELVAGE_STORE: ['store'],
  REDIS_URL: ['redis'],
  SELVAGE_ZONE: ['zone'],
  LOG_LEVEL: ['logging', 'level'],
};

/** Flags of the command line that set something, and what they set. */
export const configFlags: Readonly<Record<string, readonly string[]>> = {
  host: ['listen', 'host'],
  port: ['listen', 'port'],
  'admin-host': ['admin', 'host'],
  'admin-port': ['admin', 'port'],
  workers: ['workers'],
  'log-level': ['logging', 'level'],
};

/** What the environment sets. An empty variable sets nothing. */
export function listEnvironmentOverrides(environment: Environment): ConfigOverride[] {
  return listOverrides(environmentVariables, environment, (name) => `environment variable ${name}`);
}

/** What the command line sets. */
export function listFlagOverrides(flags: Environment): ConfigOverride[] {
  return listOverrides(configFlags, flags, (name) => `--${name}`);
}

function listOverrides(
  table: Readonly<Record<string, readonly string[]>>,
  values: Environment,
  nameSource: (name: string) => string,
): ConfigOverride[] {
  return Object.entries(table).flatMap(([name, path]) => {
    const text = values[name];
    if (text === undefined || text === '') return [];
    const value = isNumeric(path) && /^\d+$/.test(text) ? Number(text) : text;
    return [{ path, value, source: nameSource(name) }];
  });
}

function isNumeric(path: readonly string[]): boolean {
  return ['port', 'workers'].includes(path.at(-1) ?? '');
}

/** A configuration with overrides in it, later ones first, and a locator that knows them. The given one stays as it is. */
export function applyOverrides(
  value: unknown,
  overrides: readonly ConfigOverride[],
  locate: Locate,
): { value: unknown; locate: Locate } {
  const sources = new Map(overrides.map((override) => [formatPath(override.path), override.source]));
  return {
    value: overrides.reduce((whole, override) => replaceAt(whole, override.path, override.value), value),
    locate: (path, atKey) => sources.get(formatPath(path)) ?? locate(path, atKey),
  };
}

/** Something in the way that is no object is left for validation to complain about. */
function replaceAt(whole: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (whole !== undefined && (typeof whole !== 'object' || whole === null || Array.isArray(whole))) return whole;
  const object = (whole ?? {}) as Readonly<Record<string, unknown>>;
  return { ...object, [key]: replaceAt(object[key], rest, value) };
}
