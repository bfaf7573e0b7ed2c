/**
 * Plugins of Envelop and Yoga as they are, in the pipeline of a generation: each hook behind a guard, and in one place
 * whichever engine executes.
 *
 * They stand after authorization and before the cache. Two things are different for them there, or they would depend on
 * what else stands in the list: what they wrap around execution is put around the engine that is chosen later, and what
 * they do after execution is done after the cache has taken the answer, so that it is never kept for somebody else.
 */
import { type ExecutionArgs, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { GatewayError } from '../policies/errors.ts';
import type { GraphqlContext } from '../policies/request-context.ts';
import { SerializedData } from './planned-execution.ts';
import { PluginGuard, type PluginObserver } from './plugin-guard.ts';
import { type LoadedModule, loadModule, resolveModule } from './plugin-module.ts';
import { buildPluginBounds, type GraphqlPluginEntry } from './plugin-options.ts';

type GraphqlPlugin = Plugin<object, GraphqlContext>;
type Hooks = Readonly<Record<string, unknown>>;
type Payload = Readonly<Record<string, unknown>>;

/** A plugin that was loaded. Each generation gets one of its own: such plugins keep one schema each. */
export interface GraphqlPluginSource {
  readonly guard: PluginGuard;
  readonly create: () => Hooks;
}

/** Where listed plugins stand: `first` before the cache, `last` after all that executes. */
export interface ListedPlugins {
  readonly first: readonly GraphqlPlugin[];
  readonly last: GraphqlPlugin;
}

/** Loads the module of an entry. Throws an error whose message says what is wrong, also when no plugin comes of it. */
export async function loadGraphqlPlugin(
  entry: GraphqlPluginEntry,
  observer: PluginObserver,
): Promise<GraphqlPluginSource> {
  const { exports }: LoadedModule = await loadModule(resolveModule(entry.module, process.cwd()));
  const name = entry.export ?? 'default';
  const made: unknown = exports[name];
  if (typeof made !== 'function' && !isHooks(made)) throw new TypeError(`its export \`${name}\` makes no plugin`);
  const create = (): Hooks => {
    const plugin: unknown = typeof made === 'function' ? made(entry.options) : made;
    if (!isHooks(plugin)) throw new TypeError(`its export \`${name}\` made no plugin`);
    return plugin;
  };
  create();
  const guard = new PluginGuard({
    ...buildPluginBounds(entry, '1s'),
    name: labelOf(name, entry.module),
    onFailure: entry.onFailure ?? 'fail',
    observer,
    isMeant: (thrown) => thrown instanceof GraphQLError || (thrown instanceof Error && thrown.name === 'GraphQLError'),
  });
  return { guard, create };
}

/** `useX`, or where that says nothing, the name of the file. */
function labelOf(name: string, module: string): string {
  const file = module.split(/[/\\]/).at(-1) ?? module;
  return (name === 'default' ? file.replace(/\.\w+$/, '') : name).slice(0, 63);
}

function isHooks(value: unknown): value is Hooks {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What listed plugins want of one execution. Found by its arguments, which all hooks of it share. */
interface Execution {
  /** What shall execute, as far as plugins say. */
  wrapped: Execute | undefined;
  /** What executes otherwise: known when the last of the list is asked. */
  inner: Execute | undefined;
  readonly after: Hooks[];
  /** Whether the last of the list does what is left; it is not asked when the cache has the answer. */
  isHandedOver: boolean;
}

type Execute = (args: ExecutionArgs) => unknown;

/** The plugins of one generation. */
export function useListedPlugins(sources: readonly GraphqlPluginSource[]): ListedPlugins {
  const executions = new WeakMap<object, Execution>();
  const first = sources.map(({ guard, create }) => {
    let plugin: Hooks;
    try {
      plugin = create();
    } catch {
      // It could be made when it was loaded. Without it, an operation that it may protect is not executed.
      plugin = { onExecute: refuse, onSubscribe: refuse };
    }
    return guardPlugin(plugin, guard, executions);
  });
  return { first, last: { onExecute: (payload: unknown) => finish(payload as Payload, executions) } as GraphqlPlugin };
}

function refuse(): never {
  throw new GatewayError('INTERNAL_SERVER_ERROR');
}

function guardPlugin(plugin: Hooks, guard: PluginGuard, executions: WeakMap<object, Execution>): GraphqlPlugin {
  const guarded: Record<string, unknown> = { ...plugin };
  for (const [name, hook] of Object.entries(plugin)) {
    if (typeof hook !== 'function' || !/^on[A-Z]/.test(name)) continue;
    const call = (payload: unknown) => hook.call(plugin, payload);
    const rest = (given: unknown) => guardRest(name, given, guard);
    if (name === 'onExecute') {
      guarded[name] = (payload: Payload) => {
        const execution = find(executions, payload['args'] as object);
        return guard.run(
          name,
          () => call(around(payload, execution)),
          (given) => defer(rest(given), execution),
        );
      };
    } else if (name === 'onPluginInit') {
      guarded[name] = (payload: Payload) => {
        const addPlugin = payload['addPlugin'] as (added: unknown) => void;
        const add = (added: Hooks) => addPlugin(guardPlugin(added, guard, executions));
        return guard.run(name, () => call({ ...payload, addPlugin: add }), rest);
      };
    } else guarded[name] = (payload: Payload) => guard.run(name, () => call(readable(payload)), rest);
  }
  return guarded as GraphqlPlugin;
}

/** What a hook returned: functions to be called later are guarded as well. */
function guardRest(name: string, given: unknown, guard: PluginGuard): unknown {
  if (typeof given === 'function') {
    return (payload: Payload) =>
      guard.run(
        name,
        () => given(readable(payload)),
        (value) => value,
      );
  }
  if (!isHooks(given)) return given;
  const guarded: Record<string, unknown> = { ...given };
  for (const [key, hook] of Object.entries(given)) {
    if (typeof hook !== 'function') continue;
    guarded[key] = (payload: Payload) =>
      guard.run(
        key,
        () => hook.call(given, readable(payload)),
        (value: unknown) => guardRest(key, value, guard),
      );
  }
  return guarded;
}

function find(executions: WeakMap<object, Execution>, args: object): Execution {
  let found = executions.get(args);
  if (found === undefined) {
    found = { wrapped: undefined, inner: undefined, after: [], isHandedOver: false };
    executions.set(args, found);
  }
  return found;
}

/** The engine is not chosen yet: what a plugin gets to wrap is whatever it will be. */
function around(payload: Payload, execution: Execution): Payload {
  const later: Execute = async (args) => readableResult(await execution.inner?.(args));
  return {
    ...payload,
    executeFn: execution.wrapped ?? later,
    setExecuteFn(execute: Execute) {
      execution.wrapped = execute;
    },
  };
}

/** After the cache, unless that has answered. */
function defer(given: unknown, execution: Execution): unknown {
  if (!isHooks(given)) return given;
  execution.after.push(given);
  const done = given['onExecuteDone'];
  if (typeof done !== 'function') return given;
  return { ...given, onExecuteDone: (payload: unknown) => (execution.isHandedOver ? undefined : done(payload)) };
}

function finish(payload: Payload, executions: WeakMap<object, Execution>): unknown {
  const execution = executions.get(payload['args'] as object);
  if (execution === undefined) return undefined;
  if (execution.wrapped !== undefined) {
    execution.inner = payload['executeFn'] as Execute;
    (payload['setExecuteFn'] as (execute: Execute) => void)(execution.wrapped);
  }
  if (execution.after.length === 0) return undefined;
  execution.isHandedOver = true;
  return {
    async onExecuteDone(done: { result: unknown; setResult: (result: unknown) => void }) {
      let { result } = done;
      const setResult = (changed: unknown): void => {
        result = changed;
        done.setResult(changed);
      };
      for (const { onExecuteDone } of execution.after) {
        if (typeof onExecuteDone === 'function') await onExecuteDone({ ...done, result, setResult });
      }
    },
  };
}

/** Answers of planned operations are JSON already; a plugin that looks at one wants to find its fields. */
function readable(payload: Payload): Payload {
  if (typeof payload !== 'object' || payload === null || !('result' in payload)) return payload;
  const result = readableResult(payload['result']);
  if (result === payload['result']) return payload;
  // It may also write into what it is given.
  (payload['setResult'] as ((changed: unknown) => void) | undefined)?.(result);
  return { ...payload, result };
}

function readableResult(result: unknown): unknown {
  if (!isHooks(result) || !(result['data'] instanceof SerializedData)) return result;
  const { stringify: _, data, ...rest } = result;
  return { ...rest, data: (data as SerializedData).toJSON() };
}
