/** The plugins of a process: loaded for a configuration, swapped in with it, and let go when nobody needs them any more. */
import { isDeepStrictEqual } from 'node:util';
import { GatewayError } from '../policies/errors.ts';
import type { Settings } from './config.ts';
import type { GatewayConfig } from './config-schema.ts';
import { type GraphqlPluginSource, loadGraphqlPlugin } from './graphql-plugins.ts';
import type { Log } from './log.ts';
import type { PluginMetrics } from './metrics-plugins.ts';
import type { PluginObserver } from './plugin-guard.ts';
import { type LoadedPlugin, loadPlugin, PluginInstance } from './plugin-instance.ts';
import { createPluginObserver } from './plugin-observer.ts';
import { PluginSet } from './plugin-set.ts';
import { watchStrayRejections } from './stray-rejections.ts';

export interface PluginHost extends AsyncDisposable {
  /** What requests that begin now ask; undefined without plugins. */
  readonly current: PluginSet | undefined;
  /** Loads what settings name, beside what runs. Throws a BAD_REQUEST, and changes nothing, when one cannot be loaded. */
  prepare(settings: Settings): Promise<void>;
  /** Takes over what was prepared last; the set before is let go when its requests are over. */
  activate(): PluginSet | undefined;
  /** Drops what was prepared. */
  abandon(): Promise<void>;
}

/** Creates a host without plugins. */
export function createPluginHost(log: Log, metrics: PluginMetrics): PluginHost {
  const observer = createPluginObserver(log, metrics);
  let current: PluginSet | undefined;
  let prepared: { readonly set: PluginSet | undefined } | undefined;
  /** Sets that wait for their requests. */
  const retired = new Set<PluginSet>();
  const strays = watchStrayRejections((plugin, error) => observer.onFailure(plugin, 'stray', 'stray', error));

  async function build(settings: Settings): Promise<PluginSet | undefined> {
    if (settings.plugins.length === 0 && settings.graphql.plugins.length === 0) return undefined;
    const { loaded, graphql, attempt, mistakes } = await loadAll(settings, observer);
    // Nothing is set up as long as there are mistakes.
    if (mistakes.length > 0) throw buildRefusal(mistakes);

    const instances: PluginInstance[] = [];
    const fresh: PluginInstance[] = [];
    const known = [...(current?.instances ?? [])];
    for (const [index, one] of loaded.entries()) {
      const kept = known.find((instance) => instance.is(one));
      const instance = kept ?? (await attempt(`plugins[${index}]`, () => PluginInstance.create(one, log, observer)));
      if (instance === undefined) break;
      instances.push(instance);
      if (kept === undefined) fresh.push(instance);
    }
    const set = new PluginSet(instances, graphql, listSecretHeaders(settings), () => forget(set));
    if (mistakes.length === 0) {
      strays.watch(fresh);
      return set;
    }
    await set.release();
    throw buildRefusal(mistakes);
  }

  function forget(set: PluginSet): void {
    retired.delete(set);
    const inUse = new Set((current?.instances ?? []).map(({ name }) => name));
    for (const { name } of set.instances) if (!inUse.has(name)) metrics.forget(name);
  }

  async function abandon(): Promise<void> {
    const dropped = prepared?.set;
    prepared = undefined;
    await dropped?.release();
  }

  return {
    get current() {
      return current;
    },
    async prepare(settings) {
      await abandon();
      prepared = { set: await build(settings) };
    },
    activate() {
      if (prepared === undefined) return current;
      const before = current;
      current = prepared.set;
      prepared = undefined;
      if (before !== undefined) {
        retired.add(before);
        before.retire();
      }
      if (!isDeepStrictEqual(namesOf(before), namesOf(current))) log.info('plugins', { names: namesOf(current) });
      return current;
    },
    abandon,
    async [Symbol.asyncDispose]() {
      const sets = [...retired, ...(current === undefined ? [] : [current])];
      current = undefined;
      await Promise.all([abandon(), ...sets.map((set) => set.release())]);
      strays[Symbol.dispose]();
    },
  };
}

interface PluginMistake {
  readonly path: string;
  readonly message: string;
}

interface LoadedPlugins {
  readonly loaded: readonly LoadedPlugin[];
  readonly graphql: readonly GraphqlPluginSource[];
  /** Everything that is wrong. */
  readonly mistakes: PluginMistake[];
  /** Undefined, and one mistake more, when it fails. */
  attempt<Result>(place: string, act: () => Promise<Result>): Promise<Result | undefined>;
}

async function loadAll({ plugins, graphql }: PluginSettings, observer: PluginObserver): Promise<LoadedPlugins> {
  const mistakes: PluginMistake[] = [];
  const attempt: LoadedPlugins['attempt'] = async (place, act) => {
    try {
      return await act();
    } catch (error) {
      mistakes.push({ path: place, message: error instanceof Error ? error.message : String(error) });
      return undefined;
    }
  };
  const loaded: LoadedPlugin[] = [];
  for (const [index, entry] of plugins.entries()) {
    const one = await attempt(`plugins[${index}]`, () => loadPlugin(entry));
    if (one !== undefined) loaded.push(one);
  }
  const sources: GraphqlPluginSource[] = [];
  for (const [index, entry] of graphql.plugins.entries()) {
    const one = await attempt(`graphql.plugins[${index}]`, () => loadGraphqlPlugin(entry, observer));
    if (one !== undefined) sources.push(one);
  }
  const names = loaded.map(({ plugin }) => plugin.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) mistakes.push({ path: 'plugins', message: `two plugins are called ${twice}` });
  return { loaded, graphql: sources, mistakes, attempt };
}

type PluginSettings = Pick<Settings, 'plugins'> & { readonly graphql: Pick<Settings['graphql'], 'plugins'> };

const nobody: PluginObserver = { onHook() {}, onFailure() {}, onCircuit() {}, onBypass() {} };

/** Loads plugins and checks their options, and sets none up. Throws a BAD_REQUEST with all that is wrong. */
export async function checkPlugins({ plugins = [], graphql = {} }: GatewayConfig): Promise<void> {
  const { mistakes } = await loadAll({ plugins, graphql: { plugins: graphql.plugins ?? [] } }, nobody);
  if (mistakes.length > 0) throw buildRefusal(mistakes);
}

function namesOf(set: PluginSet | undefined): readonly string[] {
  return [...(set?.instances ?? []).map(({ name }) => name), ...(set?.graphql ?? []).map(({ guard }) => guard.name)];
}

/** In the message as well: workers tell the primary nothing else. */
function buildRefusal(mistakes: readonly PluginMistake[]): GatewayError {
  const reasons = mistakes.map(({ path, message }) => ({ message: `${path}: ${message}` }));
  const text = reasons.map(({ message }) => message).join('; ');
  return new GatewayError('BAD_REQUEST', `A plugin cannot be loaded: ${text}`, { reasons });
}

/** Credentials of a configuration's own making. */
function listSecretHeaders({ authentication }: Settings): ReadonlySet<string> {
  const { header } = authentication.session ?? {};
  return new Set(header === undefined ? [] : [header.toLowerCase()]);
}
