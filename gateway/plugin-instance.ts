/** From an entry of the configuration to an instance of a plugin that takes part in requests. */
import { isDeepStrictEqual } from 'node:util';
import { Compile } from 'typebox/compile';
import { findSchemaMistakes, formatPointer } from '../policies/schema-mistakes.ts';
import type { Log } from './log.ts';
import type { Plugin, PluginHooks, PluginLog } from './plugin.ts';
import { PluginGuard, type PluginObserver } from './plugin-guard.ts';
import { type LoadedModule, loadModule, resolveModule } from './plugin-module.ts';
import { buildPluginBounds, type PluginEntry } from './plugin-options.ts';
import { isPluginName } from './plugin-rules.ts';

/** A plugin that was loaded and checked, and runs nothing yet. */
export interface LoadedPlugin {
  readonly entry: PluginEntry;
  readonly plugin: Plugin<never>;
  /** Of its file; undefined for an object. */
  readonly url: string | undefined;
}

/** How long a plugin may take to get ready, and to clean up after itself. */
const lifePatienceMs = 10_000;

const hookNames = [
  'onRequest',
  'onRoute',
  'onOperation',
  'onCall',
  'onResponse',
  'onSnapshot',
  'dispose',
] as const satisfies (keyof PluginHooks)[];

/** Loads what an entry names, and checks it. Throws an error whose message says what is wrong. */
export async function loadPlugin(entry: PluginEntry): Promise<LoadedPlugin> {
  const module: LoadedModule | undefined =
    entry.module === undefined ? undefined : await loadModule(resolveModule(entry.module, process.cwd()));
  const plugin: unknown = module === undefined ? entry.plugin : module.exports['default'];
  assertPlugin(plugin);
  const { optionsSchema } = plugin;
  if (optionsSchema !== undefined) {
    const mistakes = findSchemaMistakes(Compile(optionsSchema), entry.options ?? {});
    const told = mistakes.map(({ path, message }) => `options${formatPointer(path)}: ${message}`);
    if (told.length > 0) throw new TypeError(told.join('; '));
  }
  return { entry, plugin, url: module?.url };
}

function assertPlugin(value: unknown): asserts value is Plugin<never> {
  if (typeof value !== 'object' || value === null)
    throw new TypeError('its default export is no plugin: `export default definePlugin({ ... })`');
  const plugin = value as Readonly<Record<string, unknown>>;
  if (!isPluginName(plugin['name']))
    throw new TypeError('it has no `name`, or not one for logs and metrics (letters, digits, `.`, `_`, `-`)');
  assertHooks(value);
}

function assertHooks(value: object): void {
  const wrong = [...hookNames, 'setup'].filter((name) => {
    const hook = (value as Readonly<Record<string, unknown>>)[name];
    return hook !== undefined && typeof hook !== 'function';
  });
  if (wrong.length > 0) throw new TypeError(`${wrong.join(' and ')} must be functions`);
}

/** A plugin that runs. It is used by every set that has it, and disposed when the last one is done. */
export class PluginInstance {
  readonly name: string;
  readonly loaded: LoadedPlugin;
  readonly hooks: PluginHooks;
  readonly guard: PluginGuard;
  readonly seesCredentials: boolean;
  readonly #log: Log;
  #users = 0;

  private constructor(loaded: LoadedPlugin, hooks: PluginHooks, log: Log, observer: PluginObserver) {
    const { plugin, entry } = loaded;
    this.name = plugin.name;
    this.loaded = loaded;
    this.hooks = hooks;
    this.seesCredentials = plugin.seesCredentials === true;
    this.#log = log;
    this.guard = new PluginGuard({
      ...buildPluginBounds(entry, '50ms'),
      name: plugin.name,
      onFailure: entry.onFailure ?? plugin.onFailure ?? 'continue',
      observer,
    });
  }

  /** Runs `setup`. Rejects when it does, or takes too long. */
  static async create(loaded: LoadedPlugin, log: Log, observer: PluginObserver): Promise<PluginInstance> {
    const { plugin, entry } = loaded;
    const made: unknown = await within(
      async () => plugin.setup?.({ log: createPluginLog(plugin.name, log), options: (entry.options ?? {}) as never }),
      'setup',
    );
    if (made !== undefined && (typeof made !== 'object' || made === null)) throw new TypeError('setup gave no hooks');
    if (made !== undefined) assertHooks(made);
    return new PluginInstance(loaded, bindHooks(plugin, made), log, observer);
  }

  /** Whether it is what another configuration asks for, so that it may stay as it is. */
  is({ entry, plugin, url }: LoadedPlugin): boolean {
    const { loaded } = this;
    return loaded.plugin === plugin && loaded.url === url && isDeepStrictEqual(loaded.entry, entry);
  }

  acquire(): void {
    this.#users++;
  }

  async release(): Promise<void> {
    this.#users--;
    if (this.#users > 0) return;
    this.guard.close();
    try {
      await within(async () => this.hooks.dispose?.(), 'dispose');
    } catch (error) {
      this.#log.warn('a plugin did not clean up', { plugin: this.name, error });
    }
  }
}

/** Each hook with `this` as its author would have it: the object that it stands in. */
function bindHooks(plugin: PluginHooks, made: PluginHooks | undefined): PluginHooks {
  const bound: Record<string, unknown> = {};
  for (const name of hookNames) {
    const owner = made?.[name] === undefined ? plugin : made;
    const hook = owner[name];
    if (hook !== undefined) bound[name] = hook.bind(owner as never);
  }
  return bound;
}

async function within<Result>(act: () => Promise<Result>, name: string): Promise<Result> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`${name} took longer than ${lifePatienceMs / 1_000} s`)),
    lifePatienceMs,
  );
  try {
    return await Promise.race([act(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function createPluginLog(plugin: string, log: Log): PluginLog {
  const eventOf =
    (level: keyof PluginLog): PluginLog['info'] =>
    (message, fields = {}) =>
      log[level](message, { ...fields, plugin });
  return { debug: eventOf('debug'), info: eventOf('info'), warn: eventOf('warn'), error: eventOf('error') };
}
