/** The plugins of one configuration, sorted by hook: what a request has to ask, and nothing else. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GatewayRequest } from './context.ts';
import type { GraphqlPluginSource } from './graphql-plugins.ts';
import type { PluginHooks, SnapshotFacts } from './plugin.ts';
import type { PluginInstance } from './plugin-instance.ts';
import { PluginRequest } from './plugin-request.ts';

type HookName = Exclude<keyof PluginHooks, 'dispose'>;

/** One hook of one plugin. */
export interface BoundHook<Name extends HookName> {
  readonly instance: PluginInstance;
  readonly call: NonNullable<PluginHooks[Name]>;
}

/** By hook, in the order of the list. Undefined where no plugin has it. */
export type HookTable = { readonly [Name in HookName]: readonly BoundHook<Name>[] | undefined };

/** Immutable. Requests hold it from begin to end; when it is retired and they are over, its instances are let go. */
export class PluginSet {
  readonly hooks: HookTable;
  readonly graphql: readonly GraphqlPluginSource[];
  /** Headers with credentials, beside those that always are. */
  readonly secretHeaders: ReadonlySet<string>;
  readonly #instances: readonly PluginInstance[];
  readonly #onReleased: () => void;
  #requests = 0;
  #isRetired = false;
  #released: Promise<void> | undefined;

  constructor(
    instances: readonly PluginInstance[],
    graphql: readonly GraphqlPluginSource[],
    secretHeaders: ReadonlySet<string>,
    onReleased: () => void = () => {},
  ) {
    this.#instances = instances;
    this.graphql = graphql;
    this.secretHeaders = secretHeaders;
    this.#onReleased = onReleased;
    this.hooks = {
      onRequest: collect(instances, 'onRequest'),
      onRoute: collect(instances, 'onRoute'),
      onOperation: collect(instances, 'onOperation'),
      onCall: collect(instances, 'onCall'),
      onResponse: collect(instances, 'onResponse'),
      onSnapshot: collect(instances, 'onSnapshot'),
    };
    for (const instance of instances) instance.acquire();
  }

  get instances(): readonly PluginInstance[] {
    return this.#instances;
  }

  /** What a request asks; undefined when none of its hooks is there. */
  begin(
    context: GatewayRequest,
    request: IncomingMessage,
    response: ServerResponse,
    query: string,
  ): PluginRequest | undefined {
    const { onRequest, onRoute, onOperation, onCall, onResponse } = this.hooks;
    if (!(onRequest ?? onRoute ?? onOperation ?? onCall ?? onResponse)) return undefined;
    this.#requests++;
    context.atEnd(() => {
      this.#requests--;
      this.#releaseWhenIdle();
    });
    return new PluginRequest(this, context, request, response, query);
  }

  /** Tells of what is served. Never throws. */
  tellSnapshot(facts: SnapshotFacts): void {
    for (const { instance, call } of this.hooks.onSnapshot ?? []) {
      try {
        const told = instance.guard.run('onSnapshot', () => call(facts), ignore);
        Promise.resolve(told).catch(ignore);
      } catch {
        // Counted and logged; there is no request that could fail.
      }
    }
  }

  /** No further request begins with it. */
  retire(): void {
    this.#isRetired = true;
    this.#releaseWhenIdle();
  }

  /** Lets the instances go, whoever still uses them. */
  release(): Promise<void> {
    this.#released ??= Promise.all(this.#instances.map((instance) => instance.release())).then(this.#onReleased);
    return this.#released;
  }

  #releaseWhenIdle(): void {
    if (this.#isRetired && this.#requests === 0) void this.release();
  }
}

const ignore = (): void => {};

function collect<Name extends HookName>(
  instances: readonly PluginInstance[],
  name: Name,
): readonly BoundHook<Name>[] | undefined {
  const bound = instances.flatMap((instance) => {
    const call = instance.hooks[name];
    return call === undefined ? [] : [{ instance, call: call as NonNullable<PluginHooks[Name]> }];
  });
  return bound.length === 0 ? undefined : bound;
}
