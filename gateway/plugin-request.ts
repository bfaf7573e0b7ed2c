/** One request and the plugins that take part in it. Made only where there are plugins. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GatewayError } from '../policies/errors.ts';
import type { CalledService, ChangeCall, Viewer } from '../policies/request-context.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import type { HeaderFacts, OperationFacts, RequestFacts, RouteFacts, ViewerFacts } from './plugin.ts';
import { buildViewerFacts, RequestView } from './plugin-facts.ts';
import {
  applyChanges,
  buildHeaderFacts,
  collectHeaders,
  type HeaderChange,
  parseAnswerChanges,
  parseRequestChanges,
} from './plugin-headers.ts';
import type { PluginInstance } from './plugin-instance.ts';
import { parseAnswer, parseRefusal, parseResult, type ReadyAnswer } from './plugin-results.ts';
import type { PluginSet } from './plugin-set.ts';
import { isUnread } from './request-body.ts';

/** What of a hook's result its caller acts upon. */
interface Verdict {
  readonly changes?: readonly HeaderChange[];
  readonly answer?: ReadyAnswer | undefined;
  readonly refusal?: GatewayError | undefined;
}

const keys = ['headers', 'answer', 'refuse'];
const noPromise = 'onResponse must not be async: the head of an answer waits for nobody';

export class PluginRequest {
  /** For calls to services; undefined when no plugin wants to hear of them. */
  readonly changeCall: ChangeCall | undefined;
  readonly #set: PluginSet;
  readonly #context: GatewayRequest;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #query: string;
  #seen: RequestView | undefined;
  #seenWhole: RequestView | undefined;
  #viewer: { readonly of: Viewer; readonly facts: ViewerFacts } | undefined;
  /** What plugins said when the route was found, for every call of the request. */
  #routeChanges: readonly HeaderChange[] = [];

  constructor(
    set: PluginSet,
    context: GatewayRequest,
    request: IncomingMessage,
    response: ServerResponse,
    query: string,
  ) {
    this.#set = set;
    this.#context = context;
    this.#request = request;
    this.#response = response;
    this.#query = query;
    this.changeCall =
      set.hooks.onCall === undefined ? undefined : (called, headers) => this.#changeCall(called, headers);
    if (set.hooks.onResponse !== undefined) this.#watchHead();
  }

  /** Before anybody is authenticated. True when a plugin has answered. */
  async enter(): Promise<boolean> {
    for (const { instance, call } of this.#set.hooks.onRequest ?? []) {
      const facts = this.#factsFor(instance);
      const verdict = await instance.guard.run('onRequest', () => call(facts), parseVerdict);
      if (this.#conclude(verdict)) return true;
      if (verdict?.changes !== undefined && verdict.changes.length > 0) this.#changeRequest(verdict.changes);
    }
    return this.#context.departure.happened;
  }

  /** A route was found, and the viewer may use it. True when a plugin has answered. */
  async atRoute(service: string | null, route: string, kind: RouteFacts['kind'] = 'service'): Promise<boolean> {
    for (const { instance, call } of this.#set.hooks.onRoute ?? []) {
      const facts = Object.freeze({
        request: this.#factsFor(instance),
        viewer: this.#viewerFacts(),
        kind,
        service,
        route,
      });
      const verdict = await instance.guard.run('onRoute', () => call(facts), parseVerdict);
      if (this.#conclude(verdict)) return true;
      if (verdict?.changes !== undefined) this.#routeChanges = [...this.#routeChanges, ...verdict.changes];
    }
    return this.#context.departure.happened;
  }

  /** An operation may be executed. Throws when a plugin refuses it. */
  async atOperation(operation: Omit<OperationFacts, 'request' | 'viewer'>): Promise<void> {
    for (const { instance, call } of this.#set.hooks.onOperation ?? []) {
      const facts = Object.freeze({ request: this.#factsFor(instance), viewer: this.#viewerFacts(), ...operation });
      const refusal = await instance.guard.run(
        'onOperation',
        () => call(facts),
        (given) => parseRefusal(parseResult(given, ['refuse'])?.['refuse']),
      );
      if (refusal !== undefined) throw refusal;
    }
  }

  /** The headers of a route's request to a service, as plugins would have them. */
  async changeRouteCall(call: CalledService & { readonly headers: readonly string[] }): Promise<readonly string[]> {
    const { service, method, path, headers } = call;
    const changed = this.#routeChanges.length === 0 ? headers : applyChanges(headers, this.#routeChanges);
    return this.changeCall === undefined ? changed : await this.changeCall({ service, method, path }, changed);
  }

  async #changeCall(called: CalledService, headers: readonly string[]): Promise<readonly string[]> {
    let changed = headers;
    for (const { instance, call } of this.#set.hooks.onCall ?? []) {
      const facts = Object.freeze({ request: this.#factsFor(instance), viewer: this.#viewerFacts(), ...called });
      const changes = await instance.guard.run(
        'onCall',
        () => call(facts),
        (given) => parseRequestChanges(parseResult(given, ['headers'])?.['headers'] as never),
      );
      if (changes !== undefined && changes.length > 0) changed = applyChanges(changed, changes);
    }
    return changed;
  }

  /**
   * Every head passes `writeHead`, whichever part of the gateway writes it: plugins are asked there, once, so that what
   * an error answer of ours tells is theirs to see as well.
   */
  #watchHead(): void {
    const response = this.#response;
    response.writeHead = ((status: number, ...rest: unknown[]) => {
      // Not again should they fail it: what tells of that is written without them.
      Reflect.deleteProperty(response, 'writeHead');
      const headers = rest.at(-1);
      if (!Array.isArray(headers)) return response.writeHead(status, ...(rest as []));
      return response.writeHead(status, this.#changeHead(status, headers));
    }) as ServerResponse['writeHead'];
  }

  #changeHead(status: number, rawHeaders: readonly string[]): string[] {
    const { name, service, errorCode, startedAtMs } = this.#context;
    const durationMs = performance.now() - startedAtMs;
    let changed = [...rawHeaders];
    for (const { instance, call } of this.#set.hooks.onResponse ?? []) {
      const facts = Object.freeze({
        request: this.#factsFor(instance),
        viewer: this.#viewerFacts(),
        status,
        headers: this.#headersFor(instance, collectHeaders(changed)),
        name,
        service,
        code: errorCode,
        durationMs,
      });
      const changes = instance.guard.run(
        'onResponse',
        // In a box, or the guard would wait for a promise.
        () => ({ given: call(facts) }),
        ({ given }) => parseAnswerChanges(parseResult(refusePromise(given), ['headers'])?.['headers'] as never),
      );
      if (Array.isArray(changes) && changes.length > 0) changed = applyChanges(changed, changes);
    }
    return changed;
  }

  /** True when the request has its answer. Throws when it is refused. */
  #conclude(verdict: Verdict | undefined): boolean {
    if (verdict?.refusal !== undefined) throw verdict.refusal;
    // Who left gets nothing; and a request is over that nobody waits for.
    if (this.#context.departure.happened) return true;
    if (verdict?.answer === undefined) return false;
    this.#write(verdict.answer);
    return true;
  }

  #write({ status, headers, body }: ReadyAnswer): void {
    const context = this.#context;
    const hasBody = status !== 204 && status !== 304;
    const bytes = hasBody ? Buffer.from(body) : Buffer.alloc(0);
    const raw = applyChanges(edgeHeaders(context), headers);
    if (hasBody) raw.push('content-length', String(bytes.length));
    if (isUnread(this.#request)) raw.push('connection', 'close');
    context.name ??= 'plugin';
    context.bodyBytes = context.method === 'HEAD' ? 0 : bytes.length;
    this.#response.writeHead(status, finishHeaders(context, raw));
    this.#response.end(context.method === 'HEAD' ? undefined : bytes);
  }

  /** Both forms: authentication and policies read one, what goes to services is made of the other. */
  #changeRequest(changes: readonly HeaderChange[]): void {
    const { headers, rawHeaders } = this.#request;
    rawHeaders.splice(0, rawHeaders.length, ...applyChanges(rawHeaders, changes));
    for (const { name, lines } of changes) {
      if (lines.length === 0) delete headers[name];
      else headers[name] = lines.join(name === 'cookie' ? '; ' : ', ');
    }
    this.#seen?.forget();
    this.#seenWhole?.forget();
  }

  #factsFor({ seesCredentials }: PluginInstance): RequestFacts {
    const build = (): RequestView =>
      new RequestView(this.#context, this.#query, (headers) =>
        buildHeaderFacts(headers, seesCredentials, this.#set.secretHeaders),
      );
    if (seesCredentials) {
      this.#seenWhole ??= build();
      return this.#seenWhole;
    }
    this.#seen ??= build();
    return this.#seen;
  }

  #headersFor({ seesCredentials }: PluginInstance, headers: HeaderFacts): HeaderFacts {
    return buildHeaderFacts(headers, seesCredentials, this.#set.secretHeaders);
  }

  #viewerFacts(): ViewerFacts | null {
    const { viewer } = this.#context;
    if (viewer === null) return null;
    if (this.#viewer?.of !== viewer) this.#viewer = { of: viewer, facts: buildViewerFacts(viewer) };
    return this.#viewer.facts;
  }
}

function parseVerdict(given: unknown): Verdict {
  const result = parseResult(given, keys);
  if (result === undefined) return {};
  return {
    changes: parseRequestChanges(result['headers'] as never),
    answer: parseAnswer(result['answer']),
    refusal: parseRefusal(result['refuse']),
  };
}

/** What an async hook gives comes too late, whatever it is; that it fails must not go unheard either. */
function refusePromise<Given>(given: Given): Given {
  if (typeof given === 'object' && given !== null && 'then' in given) {
    Promise.resolve(given).catch(() => {});
    throw new TypeError(noPromise);
  }
  return given;
}
