/**
 * What stands between a plugin and the requests: whatever it throws, however late it is, it is named, counted, and left
 * alone for a while when it goes on like that. Only an endless loop cannot be stopped: nothing else runs beside it.
 */
import { GatewayError } from '../policies/errors.ts';
import type { PluginBounds } from './plugin-options.ts';

export type PluginFailure = 'throw' | 'reject' | 'timeout' | 'invalid' | 'stray';

/** Who wants to know how plugins do. */
export interface PluginObserver {
  onHook(plugin: string, hook: string, durationMs: number): void;
  onFailure(plugin: string, hook: string, kind: PluginFailure, error: unknown): void;
  onCircuit(plugin: string, hook: string, open: boolean): void;
  onBypass(plugin: string, hook: string): void;
}

export interface PluginGuardOptions extends PluginBounds {
  readonly name: string;
  readonly onFailure: 'continue' | 'fail';
  readonly observer: PluginObserver;
  /** What a plugin throws on purpose, to say something to the client. @default nothing */
  readonly isMeant?: (thrown: unknown) => boolean;
  readonly now?: () => number;
}

/** Node's timers take 31 bits, and fire at once beyond. */
const longestTimerMs = 2_147_483_647;

/** Around every hook of one plugin. */
export class PluginGuard {
  readonly name: string;
  readonly #options: PluginGuardOptions;
  readonly #now: () => number;
  /** By hook: that one works says nothing about another. */
  readonly #circuits = new Map<string, Circuit>();
  #closed = false;

  constructor(options: PluginGuardOptions) {
    this.name = options.name;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * What the hook gives, as `read` understands it, which throws for what is no result. Undefined where the hook failed
   * and the request goes on; a GatewayError where it shall not.
   */
  run<Given, Result>(
    hook: string,
    call: () => Given,
    read: (given: Awaited<Given>) => Result,
  ): Result | undefined | Promise<Result | undefined> {
    const startedAtMs = this.#now();
    if (this.#closed || !this.#circuit(hook).admits(startedAtMs)) return this.#bypass(hook);
    let given: Given;
    try {
      given = call();
    } catch (error) {
      return this.#fail(hook, 'throw', error, startedAtMs);
    }
    if (isThenable(given)) return this.#wait(hook, given as PromiseLike<Awaited<Given>>, read, startedAtMs);
    return this.#take(hook, given as Awaited<Given>, read, startedAtMs);
  }

  /** From now on no hook is called: the instance is gone. */
  close(): void {
    this.#closed = true;
  }

  #circuit(hook: string): Circuit {
    let circuit = this.#circuits.get(hook);
    if (circuit === undefined) {
      circuit = new Circuit(this.#options.circuit);
      this.#circuits.set(hook, circuit);
    }
    return circuit;
  }

  #bypass(hook: string): undefined {
    const { name, observer, onFailure } = this.#options;
    observer.onBypass(name, hook);
    if (onFailure === 'fail') throw buildFailure(name, hook, new Error('the circuit of the plugin is open'));
    return undefined;
  }

  #take<Given, Result>(
    hook: string,
    given: Given,
    read: (given: Given) => Result,
    startedAtMs: number,
  ): Result | undefined {
    let result: Result;
    try {
      result = read(given);
    } catch (error) {
      return this.#fail(hook, 'invalid', error, startedAtMs);
    }
    this.#succeed(hook, startedAtMs);
    return result;
  }

  #wait<Given, Result>(
    hook: string,
    promise: PromiseLike<Given>,
    read: (given: Given) => Result,
    startedAtMs: number,
  ): Promise<Result | undefined> {
    const { timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      let late = false;
      const settle = (outcome: () => Result | undefined): void => {
        // What comes too late is ignored, a failure as well: it was counted when it was late.
        if (late) return;
        late = true;
        clearTimeout(timer);
        try {
          resolve(outcome());
        } catch (error) {
          reject(error);
        }
      };
      const giveUp = (): void => {
        const error = new Error(`no result within ${timeoutMs} ms`);
        settle(() => this.#fail(hook, 'timeout', error, startedAtMs));
      };
      const timer = setTimeout(giveUp, Math.min(timeoutMs, longestTimerMs));
      promise.then(
        (given) => settle(() => this.#take(hook, given, read, startedAtMs)),
        (error) => settle(() => this.#fail(hook, 'reject', error, startedAtMs)),
      );
    });
  }

  #succeed(hook: string, startedAtMs: number): void {
    const { name, observer } = this.#options;
    observer.onHook(name, hook, this.#now() - startedAtMs);
    if (this.#circuit(hook).succeed()) observer.onCircuit(name, hook, false);
  }

  #fail(hook: string, kind: PluginFailure, error: unknown, startedAtMs: number): undefined {
    const { name, observer, onFailure, isMeant } = this.#options;
    if (isMeant?.(error) === true) {
      this.#succeed(hook, startedAtMs);
      throw error;
    }
    const nowMs = this.#now();
    observer.onHook(name, hook, nowMs - startedAtMs);
    observer.onFailure(name, hook, kind, error);
    if (this.#circuit(hook).fail(nowMs)) observer.onCircuit(name, hook, true);
    if (onFailure === 'fail') throw buildFailure(name, hook, error);
    return undefined;
  }
}

/** For the client, that something failed; for the log, who. */
function buildFailure(plugin: string, hook: string, cause: unknown): GatewayError {
  return new GatewayError('INTERNAL_SERVER_ERROR', undefined, {
    cause: new Error(`the plugin ${plugin} failed in ${hook}`, { cause }),
  });
}

/** Whether something is a promise, of whatever making. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

type CircuitState =
  | { readonly name: 'closed'; failures: number; sinceMs: number }
  | { readonly name: 'open'; untilMs: number }
  | { readonly name: 'probing'; readonly sinceMs: number };

/**
 * Not the breaker of instances: that one judges by shares of many calls, and a plugin that fails now and then is no
 * worse than the failures themselves. Only one that does nothing else any more is left alone.
 */
class Circuit {
  readonly #bounds: PluginBounds['circuit'];
  #state: CircuitState = { name: 'closed', failures: 0, sinceMs: 0 };

  constructor(bounds: PluginBounds['circuit']) {
    this.#bounds = bounds;
  }

  /** Whether the plugin may be called. After its time an open circuit lets a single call through. */
  admits(nowMs: number): boolean {
    const state = this.#state;
    if (state.name === 'closed') return true;
    if (state.name === 'probing' || nowMs < state.untilMs) return false;
    this.#state = { name: 'probing', sinceMs: nowMs };
    return true;
  }

  /** True when this closed it. */
  succeed(): boolean {
    const { name } = this.#state;
    // A call from before it opened says nothing about now.
    if (name === 'open') return false;
    this.#state = { name: 'closed', failures: 0, sinceMs: 0 };
    return name === 'probing';
  }

  /** True when this opened it. */
  fail(nowMs: number): boolean {
    const { failures, windowMs, openForMs } = this.#bounds;
    const state = this.#state;
    if (state.name === 'open') return false;
    if (state.name === 'closed') {
      if (nowMs - state.sinceMs > windowMs) {
        state.failures = 0;
        state.sinceMs = nowMs;
      }
      if (++state.failures < failures) return false;
    }
    this.#state = { name: 'open', untilMs: nowMs + openForMs };
    return state.name === 'closed';
  }
}
