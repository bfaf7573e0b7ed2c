/** What plugins are told of a request and of who asks. */
import type { Viewer } from '../policies/request-context.ts';
import type { GatewayRequest } from './context.ts';
import type { HeaderFacts, RequestFacts, ViewerFacts } from './plugin.ts';

/** Without the claims: they hold what a viewer told an identity provider, and are nobody's plain facts. */
export function buildViewerFacts({ id, kind, issuer, scopes, roles }: Viewer): ViewerFacts {
  return Object.freeze({ id, kind, issuer, scopes: Object.freeze([...scopes]), roles: Object.freeze([...roles]) });
}

/** One object for all of a request, although a plugin may change its headers. */
export class RequestView implements RequestFacts {
  readonly id: string;
  readonly door: 'graphql' | 'rest';
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly client: RequestFacts['client'];
  readonly #context: GatewayRequest;
  readonly #build: (headers: GatewayRequest['headers']) => HeaderFacts;
  #headers: HeaderFacts | undefined;

  constructor(context: GatewayRequest, query: string, build: (headers: GatewayRequest['headers']) => HeaderFacts) {
    const { address, protocol, host } = context.client;
    this.id = context.id;
    this.door = context.door;
    this.method = context.method;
    this.path = context.path;
    this.query = query;
    this.client = Object.freeze({ address, protocol, host });
    this.#context = context;
    this.#build = build;
    Object.freeze(this);
  }

  get headers(): HeaderFacts {
    this.#headers ??= this.#build(this.#context.headers);
    return this.#headers;
  }

  forget(): void {
    this.#headers = undefined;
  }
}
