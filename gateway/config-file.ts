/** Finds the configuration file, reads it, and lays environment and flags over it. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, extname, relative, resolve } from 'node:path';
import { GatewayError } from '../policies/errors.ts';
import { hashContent } from '../subgraphs/content-hash.ts';
import { buildConfigError, parseConfig } from './config.ts';
import { readDocuments } from './config-documents.ts';
import { applyOverrides, type ConfigOverride, listEnvironmentOverrides } from './config-environment.ts';
import type { GatewayConfig } from './config-schema.ts';
import { type ConfigText, type Environment, parseConfigText } from './config-yaml.ts';
import { inlineGrpcFiles } from './grpc-files.ts';
import { resolveOwnFiles } from './own-files.ts';
import { loadModule } from './plugin-module.ts';
import { resolvePlugins } from './plugin-paths.ts';

/** Names that are looked for, the first found wins. */
export const configFileNames = [
  'selvage.config.ts',
  'selvage.config.mts',
  'selvage.config.js',
  'selvage.config.mjs',
  'selvage.yaml',
  'selvage.yml',
  'selvage.json',
] as const;

export interface LoadConfigOptions {
  /** The working directory. */
  readonly directory: string;
  readonly environment: Environment;
  /** A file asked for by name; it must exist. */
  readonly file?: string | undefined;
  /** What the command line sets. */
  readonly overrides?: readonly ConfigOverride[];
}

export interface LoadedConfig {
  readonly config: GatewayConfig;
  /** Absolute path; undefined when there is no file and the defaults hold. */
  readonly file: string | undefined;
  /** Hash of the file's content as it was read, so that a watcher misses no change since. */
  readonly hash: string | undefined;
}

/** The configuration as it holds: defaults < file < environment < flags. Throws BAD_REQUEST with all mistakes. */
export async function loadConfig(options: LoadConfigOptions): Promise<LoadedConfig> {
  const file = await findConfigFile(options);
  const { hash, ...read } =
    file === undefined ? { ...emptyText, hash: undefined } : await readConfigFile(file, options);
  if (read.value === undefined && read.mistakes.length > 0) throw buildConfigError(read.mistakes, read.locate);
  const overrides = [...listEnvironmentOverrides(options.environment), ...(options.overrides ?? [])];
  const { value, locate } = applyOverrides(read.value, overrides, read.locate);
  const folder = file === undefined ? options.directory : dirname(file);
  const documents = await readDocuments(value, folder);
  const config = parseConfig(documents.value, locate, { mistakes: [...read.mistakes, ...documents.mistakes] });
  const inlined = await inlineGrpcFiles(config, folder, locate);
  return { config: await resolveOwnFiles(resolvePlugins(inlined, folder, locate), folder, locate), file, hash };
}

const emptyText: ConfigText = { value: {}, mistakes: [], locate: () => undefined };

/** The file that `--config` or SELVAGE_CONFIG names, else the first of the usual names that exists. */
export async function findConfigFile(options: LoadConfigOptions): Promise<string | undefined> {
  const named = options.file ?? options.environment['SELVAGE_CONFIG'];
  if (named !== undefined && named !== '') {
    const file = resolve(options.directory, named);
    if (await isFile(file)) return file;
    throw new GatewayError('BAD_REQUEST', `The configuration file ${named} does not exist`);
  }
  for (const name of configFileNames) {
    const file = resolve(options.directory, name);
    if (await isFile(file)) return file;
  }
  return undefined;
}

async function isFile(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}

async function readConfigFile(file: string, options: LoadConfigOptions): Promise<ConfigText & { hash: string }> {
  const content = await readFile(file);
  const hash = hashContent(content);
  const name = relative(options.directory, file);
  // A path that climbs out of the working directory reads worse than the whole one.
  const shown = name.startsWith('..') ? file : name;
  const text = isModule(file)
    ? await importConfig(file, shown)
    : parseConfigText(content.toString('utf8'), shown, options.environment);
  return { ...text, hash };
}

function isModule(file: string): boolean {
  return ['.ts', '.mts', '.js', '.mjs'].includes(extname(file));
}

async function importConfig(file: string, shown: string): Promise<ConfigText> {
  const locate = () => shown;
  try {
    const { exports } = await loadModule(file);
    if (exports['default'] !== undefined) return { value: exports['default'], mistakes: [], locate };
    return { value: undefined, mistakes: [{ path: [], message: 'there is no default export' }], locate };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { value: undefined, mistakes: [{ path: [], message: `cannot be loaded: ${message}` }], locate };
  }
}
