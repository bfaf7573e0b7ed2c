/**
 * What the gateway knows of one request, the same for both doors. `gateway/context.ts` builds it once; policies and the
 * call read it. It holds facts only: no policy hides in it.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { AnswerLifetime } from './answer-lifetime.ts';
import type { Degradation } from './degradation.ts';
import type { ErrorCode } from './errors.ts';
import type { ByteMeter } from './rate-limit-bytes.ts';
import type { RateLimitDecision } from './rate-limit-decision.ts';
import type { ServiceHeaders } from './service-headers.ts';

/** Who is asking, as far as authentication established it. */
export interface Viewer {
  /** Stable identity: the token's `sub`, what the session service named, the name of the API key or in the certificate. */
  readonly id: string;
  readonly kind: 'jwt' | 'opaque' | 'session' | 'api-key' | 'certificate';
  /** The token's issuer, `session` or `certificate`; undefined for API keys. Two issuers may use the same `sub`. */
  readonly issuer: string | undefined;
  readonly scopes: ReadonlySet<string>;
  readonly roles: readonly string[];
  /** The verified claims, or what was answered about the credential; empty for API keys. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Tells when the client has left. Cheaper than an AbortController, which is made only where a library asks for one. */
export interface Departure {
  readonly happened: boolean;
  /** Calls back once when the client leaves, at once if it has left already. The returned function unsubscribes. */
  subscribe(listener: () => void): () => void;
}

/** One try of one call, for the access log, metrics and explain. */
export interface Attempt {
  readonly service: string;
  readonly instance: string;
  /** What became of it: the service's status, or the code of the failure. */
  readonly outcome: number | string;
  readonly durationMs: number;
}

export interface RequestContext {
  /** `x-request-id`: the client's if well-formed, else made here. */
  readonly id: string;
  readonly door: 'graphql' | 'rest';
  readonly method: string;
  /** In which the request came. @default '1.1' */
  readonly httpVersion?: string;
  readonly headers: IncomingHttpHeaders;
  readonly client: Client;
  /** Who asks. Null until authentication ran, and for anonymous requests. */
  viewer: Viewer | null;
  /** What services are told of the viewer, names and values in turn. Without it, the headers of `viewer-headers.ts`. */
  viewerFields?: readonly string[] | undefined;
  /** Moment on the `performance.now()` clock after which no answer is of use any more. */
  deadlineAtMs: number;
  /**
   * Whether the deadline is earlier than the gateway gives: by the client's wish, or for a field with a timeout. Who
   * misses such a one has not failed: otherwise a client in a hurry could open the breakers of everybody's services.
   * @default false
   */
  readonly isHurried?: boolean;
  readonly departure: Departure;
  /** What code of the operator's own does to the headers of calls; undefined where there is none. */
  readonly changeCall?: ChangeCall | undefined;
  /** What the rate limits said, for the answer's headers. Null until they were asked. */
  rateLimit: RateLimitDecision | null;
  /** Route pattern or operation name, for logs and metrics; null as long as nothing matched. */
  name: string | null;
  /** What a cache did with it, as the member of `Cache-Status`; undefined where none was asked. */
  cacheStatus?: string | undefined;
  /** What answers of services say of how long they may be kept; undefined where nobody wants to know. */
  lifetime?: AnswerLifetime | undefined;
  /** How long the answer of a query may be kept on its way; undefined where it may not. */
  freshness?: AnswerFreshness | undefined;
  /** What its operations cost together; undefined where nobody asked. */
  operationCost?: number | undefined;
  /** What services say in headers that reach the client of a GraphQL answer; undefined where none do. */
  serviceHeaders?: ServiceHeaders | undefined;
  /** Bytes of the request's body that were read before the rate limits were asked. @default 0 */
  requestBytes?: number | undefined;
  /** Counts the bytes that pass, where rate limits want to know; undefined where none do. */
  meter?: ByteMeter | undefined;
  /** Code of the first error that was answered, if any. */
  errorCode: ErrorCode | null;
  /** Where something stands in for a field of a GraphQL answer. */
  readonly degraded?: Degradation[] | undefined;
  /** Calls back once when the request is over, however it ends; at once if it is over already. */
  atEnd(listener: () => void): void;
  /** Every try of every call, in the order in which they ended. */
  readonly attempts: Attempt[];
}

/** What caches on the way to the client are told. */
export interface AnswerFreshness {
  readonly maxAgeMs: number;
  readonly ageMs: number;
  readonly isPrivate: boolean;
  /** Headers of requests that the answer depends on, in lower case. */
  readonly vary: readonly string[];
}

/** A request to a service, before it is sent. */
export interface CalledService {
  readonly service: string;
  readonly method: string;
  /** The target at the service. */
  readonly path: string;
}

/** The headers of a request to a service (name, value, ...), changed. Asked before caches, and before calls are shared. */
export type ChangeCall = (called: CalledService, headers: readonly string[]) => Promise<readonly string[]>;

/** The client as the first trusted hop saw it. */
export interface Client {
  /** IP address; behind trusted proxies the one they name, else the peer's. */
  readonly address: string;
  readonly protocol: 'http' | 'https';
  /** The authority that the client asked for. */
  readonly host: string;
  /** The chain for `X-Forwarded-For`: addresses from trusted hops, then the peer. */
  readonly forwardedFor: string;
  /** The same as `Forwarded` says it, where that is known already. */
  readonly forwarded?: string;
}

/** What Envelop and Yoga plugins find in their context. */
export interface GraphqlContext {
  readonly gateway: RequestContext;
  /** The operation was refused before its document is looked for. */
  isRefused?: boolean;
  /** A document that came with its hash: to be remembered under it, if it is valid. */
  registers?: { readonly hash: string; readonly text: string };
  /** Whether fields were taken out of the document which the viewer may not read. */
  isFiltered?: boolean;
  /** Whether the document is a trusted one. */
  isTrusted?: boolean;
}
