/**
 * The interface of plugins: code of the operator's own that takes part in requests. What a plugin is told are plain facts,
 * frozen; what it may do is what its results say. Nothing here is internal, and none of the internals is here.
 */

/** A plugin as {@link definePlugin} takes it. `Options` is what the configuration says under `options`. */
export interface Plugin<Options = unknown> extends PluginHooks {
  /** Its name in logs and metrics: letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  /** JSON Schema of `options`. What does not fit is a mistake of the configuration. @default anything fits */
  readonly optionsSchema?: object;
  /**
   * What becomes of a request when the plugin throws, is too late, or gives what is no result. `continue`: it goes on as
   * if the plugin were not there. `fail`: INTERNAL_SERVER_ERROR; the right choice for what protects something. The
   * configuration may say otherwise. @default 'continue'
   */
  readonly onFailure?: 'continue' | 'fail';
  /** Whether facts hold `Authorization`, `Cookie`, `X-API-Key`, `Set-Cookie` and their like. @default false */
  readonly seesCredentials?: boolean;
  /**
   * Makes an instance: once when the plugin is loaded, and again when its file or its options change. May return hooks,
   * which then take the place of those beside it. When it throws, the configuration is refused.
   */
  setup?(scope: PluginScope<Options>): PluginHooks | undefined | Promise<PluginHooks | undefined>;
}

/** What an instance is made with. */
export interface PluginScope<Options = unknown> {
  /** Lines of the gateway's log, with the name of the plugin. Secrets are taken out as everywhere. */
  readonly log: PluginLog;
  /** What the configuration says under `options`; an empty object where it says nothing. */
  readonly options: Options;
}

type LogEvent = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** The log of a plugin. */
export interface PluginLog {
  readonly debug: LogEvent;
  readonly info: LogEvent;
  readonly warn: LogEvent;
  readonly error: LogEvent;
}

/** Where a plugin takes part. Plugins are asked in the order of their list; the first that answers or refuses ends it. */
export interface PluginHooks {
  /**
   * A request of either door, before anybody is authenticated. May answer by itself, refuse, or change headers: what
   * authentication, policies and services see from then on.
   */
  onRequest?(request: RequestFacts): HookResult<HeaderChanges & Answering & Refusing>;
  /** REST: a route matched, and the viewer may use it. `headers` are those of the request to the service. */
  onRoute?(route: RouteFacts): HookResult<HeaderChanges & Answering & Refusing>;
  /** GraphQL: an operation was parsed, validated and authorized, and is about to be executed or found in a cache. */
  onOperation?(operation: OperationFacts): HookResult<Refusing>;
  /**
   * A request to a service, of either door: `headers` are added to it. Asked before caches, once for all attempts: what
   * it adds is part of what answers are shared by.
   */
  onCall?(call: CallFacts): HookResult<HeaderChanges>;
  /**
   * The head of an answer of either door, whoever made it; the body streams on behind it and is never held, so this hook
   * must not be async.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: as with HookResult.
  onResponse?(response: ResponseFacts): HeaderChanges | undefined | void;
  /** Another state of the registry, or another graph, is served. Nobody waits for it. */
  onSnapshot?(snapshot: SnapshotFacts): void | Promise<void>;
  /** The instance is not used any more, and the requests that it took part in are over. */
  dispose?(): void | Promise<void>;
}

/** A hook may return nothing, a result, or the promise of either. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook without `return` is as good as one that returns undefined.
export type HookResult<Result> = Result | undefined | void | Promise<Result | undefined | void>;

/** Header fields to set (several lines by a list) or, by null, to remove. `Set-Cookie` is added to those there are. */
export interface HeaderChanges {
  readonly headers?: Readonly<Record<string, string | readonly string[] | null>> | undefined;
}

/** An answer in place of the one that the request would have had. */
export interface Answering {
  readonly answer?: PluginAnswer | undefined;
}

export interface PluginAnswer {
  /** 200 to 599. */
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined;
  readonly body?: string | Uint8Array | undefined;
}

/** A refusal, which leaves in the form of all errors of that door. */
export interface Refusing {
  readonly refuse?: PluginRefusal | undefined;
}

export interface PluginRefusal {
  /** One of the gateway's error codes, or one of your own in the same spelling. @default 'FORBIDDEN' */
  readonly code?: string | undefined;
  /** 400 to 599, for a code of your own; those of the gateway have theirs. @default 403 */
  readonly status?: number | undefined;
  /** For the client. */
  readonly message: string;
}

/** Header fields by their names in lower case. Several lines are joined by commas, but for `set-cookie`. */
export type HeaderFacts = Readonly<Record<string, string | readonly string[] | undefined>>;

/** One request, from its head. All facts of a request hold the same object: it can be the key of a WeakMap. */
export interface RequestFacts {
  /** `x-request-id`. */
  readonly id: string;
  readonly door: 'graphql' | 'rest';
  readonly method: string;
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
  /** As they came; without credentials unless the plugin says `seesCredentials`. */
  readonly headers: HeaderFacts;
  readonly client: { readonly address: string; readonly protocol: 'http' | 'https'; readonly host: string };
}

/** Who asks, without what proved it. */
export interface ViewerFacts {
  readonly id: string;
  readonly kind: string;
  readonly issuer: string | undefined;
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
}

export interface RouteFacts {
  readonly request: RequestFacts;
  readonly viewer: ViewerFacts | null;
  /** What answers: a service, or the gateway itself by this section of its configuration. */
  readonly kind: 'service' | 'rest' | 'aggregate' | 'openapi' | 'static';
  /** Null at a route that the gateway answers itself; whom it asks to do so, `onCall` hears. */
  readonly service: string | null;
  /** Methods and pattern, e.g. `GET,POST /api/orders/*`. */
  readonly route: string;
}

export interface OperationFacts {
  readonly request: RequestFacts;
  readonly viewer: ViewerFacts | null;
  readonly type: 'query' | 'mutation' | 'subscription';
  /** Undefined for an anonymous operation. */
  readonly name: string | undefined;
  /** The document as it was sent. */
  readonly document: string;
  /** Names of the root fields, without aliases, each once. */
  readonly rootFields: readonly string[];
}

export interface CallFacts {
  readonly request: RequestFacts;
  readonly viewer: ViewerFacts | null;
  readonly service: string;
  readonly method: string;
  /** The target at the service, with its query. */
  readonly path: string;
}

export interface ResponseFacts {
  readonly request: RequestFacts;
  /** Null also for answers from before authentication. */
  readonly viewer: ViewerFacts | null;
  readonly status: number;
  readonly headers: HeaderFacts;
  /** The route's pattern or the operation's name; null where nothing matched. */
  readonly name: string | null;
  /** The service of a route; null where several or none are concerned, as at routes that the gateway answers itself. */
  readonly service: string | null;
  /** Code of the first error that is answered. */
  readonly code: string | null;
  readonly durationMs: number;
}

export interface SnapshotFacts {
  /** Number of the registry's state. */
  readonly revision: number;
  readonly graph: string;
  readonly services: readonly string[];
}

/**
 * Gives a plugin its types: `export default definePlugin({ name: 'audit', onRequest(request) { ... } })`. It is not
 * run before a gateway loads it.
 */
export function definePlugin<Options = unknown>(plugin: Plugin<Options>): Plugin<Options> {
  return plugin;
}
