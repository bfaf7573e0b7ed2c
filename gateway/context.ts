/** One request as the gateway sees it, from its head to its end: what both doors share. */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AnswerLifetime } from '../policies/answer-lifetime.ts';
import type { ClientCertificate } from '../policies/client-certificate.ts';
import type { Degradation } from '../policies/degradation.ts';
import { DepartureSignal } from '../policies/departure-signal.ts';
import type { ErrorCode, GatewayError } from '../policies/errors.ts';
import { parseGrpcTimeoutMs } from '../policies/grpc-status.ts';
import type { ByteMeter } from '../policies/rate-limit-bytes.ts';
import type { RateLimitDecision } from '../policies/rate-limit-decision.ts';
import type {
  AnswerFreshness,
  Attempt,
  ChangeCall,
  Client,
  RequestContext,
  Viewer,
} from '../policies/request-context.ts';
import type { ServiceHeaders } from '../policies/service-headers.ts';
import type { CertificateResolver } from './client-certificates.ts';
import type { UploadWatch } from './client-pace.ts';
import type { ShapeAnswer } from './edge-policies.ts';
import type { GrpcFacts } from './grpc-facts.ts';
import type { PluginRequest } from './plugin-request.ts';
import type { TimesRequest } from './server-timing.ts';
import type { AskedUpgrade } from './upgrade-request.ts';
import type { SwitchedFacts } from './upgrades.ts';

/** What a client may choose as `x-request-id`: short, and nothing that could break a log line or a header. */
const wellFormedRequestId = /^[A-Za-z0-9._~:@=+/-]{1,128}$/;

/** Milliseconds that a client waits at most. What is no such number is no wish. */
const wellFormedTimeout = /^\d{1,9}$/;

/** Facts that only the edge needs, beside those that policies and the call read. */
export interface GatewayRequest extends RequestContext {
  readonly door: 'graphql' | 'rest';
  /** Path of the request target, without the query. */
  readonly path: string;
  readonly startedAtMs: number;
  /** The certificate of the client, see {@link CertificateResolver}; undefined where nobody asks for it. */
  readonly certificate: (() => ClientCertificate | null) | undefined;
  /** What plugins have to do with the request; undefined where there are none. */
  plugins: PluginRequest | undefined;
  /** When the policies had decided and the service was asked; undefined where none was. */
  calledAtMs: number | undefined;
  /** Whether the answer tells its times. */
  readonly isTimed: boolean;
  /** The service that a route leads to; null where several or none are concerned. */
  service: string | null;
  /** The variant of a route's split that it goes to; null where there is none. */
  variant: string | null;
  /** Bytes of the answer's body that were handed to the client's connection. */
  bodyBytes: number;
  /** Whether its answer had to be cut, the head being out already. */
  isCut: boolean;
  /** Ends an answer that has begun with what went wrong, where its form has a place for that; false where it cannot. */
  endAnswer: ((error: GatewayError) => boolean) | undefined;
  /** What policies make of the head of the answer; null where there are none. */
  shapeAnswer: ShapeAnswer | null;
  /** What it asks for besides HTTP. */
  upgrade: AskedUpgrade | undefined;
  /** What became of that, once the service has agreed. */
  switched: SwitchedFacts | undefined;
  /** What it is as a call of gRPC; undefined where it is none. */
  grpc: GrpcFacts | undefined;
  /** While its body comes in. */
  uploadWatch: UploadWatch | undefined;
  /** The response has closed: where it was not written whole, the client is gone. */
  end(): void;
}

export interface GatewayRequestOptions {
  readonly deadlineMs: number;
  /** Path of the GraphQL door; every other path is the REST door's. */
  readonly graphqlPath: string;
  readonly resolveClient: (request: IncomingMessage) => Client;
  /** Undefined where nobody asks for certificates. */
  readonly resolveCertificate?: CertificateResolver | undefined;
  readonly timesRequest: TimesRequest;
}

/** Builds the context of a request. Nothing is decided here: the viewer is still unknown. */
export function createGatewayRequest(
  options: GatewayRequestOptions,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): GatewayRequest {
  return new HttpRequest(options, request, response, path);
}

/** A class for the sake of one hidden shape: this object is read everywhere on the hot path. */
class HttpRequest implements GatewayRequest {
  readonly id: string;
  readonly door: 'graphql' | 'rest';
  readonly method: string;
  readonly path: string;
  readonly httpVersion: string;
  readonly headers: IncomingHttpHeaders;
  readonly client: Client;
  readonly certificate: (() => ClientCertificate | null) | undefined;
  viewer: Viewer | null = null;
  viewerFields: readonly string[] | undefined = undefined;
  deadlineAtMs: number;
  readonly isHurried: boolean;
  readonly departure = new DepartureSignal();
  readonly #response: ServerResponse;
  #atEnd: (() => void)[] | undefined;
  plugins: PluginRequest | undefined = undefined;
  rateLimit: RateLimitDecision | null = null;
  readonly attempts: Attempt[] = [];
  readonly degraded: Degradation[] = [];
  name: string | null = null;
  errorCode: ErrorCode | null = null;
  isCut = false;
  cacheStatus: string | undefined = undefined;
  lifetime: AnswerLifetime | undefined = undefined;
  freshness: AnswerFreshness | undefined = undefined;
  operationCost: number | undefined = undefined;
  readonly startedAtMs: number;
  calledAtMs: number | undefined = undefined;
  readonly isTimed: boolean;
  service: string | null = null;
  variant: string | null = null;
  bodyBytes = 0;
  requestBytes: number | undefined = undefined;
  meter: ByteMeter | undefined = undefined;
  shapeAnswer: ShapeAnswer | null = null;
  endAnswer: ((error: GatewayError) => boolean) | undefined = undefined;
  upgrade: AskedUpgrade | undefined = undefined;
  switched: SwitchedFacts | undefined = undefined;
  grpc: GrpcFacts | undefined = undefined;
  uploadWatch: UploadWatch | undefined = undefined;
  serviceHeaders: ServiceHeaders | undefined = undefined;

  constructor(options: GatewayRequestOptions, request: IncomingMessage, response: ServerResponse, path: string) {
    this.startedAtMs = performance.now();
    this.door = path === options.graphqlPath ? 'graphql' : 'rest';
    this.id = requestId(request.headers['x-request-id']);
    this.method = request.method ?? 'GET';
    this.path = path;
    this.httpVersion = request.httpVersion;
    this.headers = request.headers;
    this.isTimed = options.timesRequest(request.headers);
    this.client = options.resolveClient(request);
    const { resolveCertificate } = options;
    this.certificate = resolveCertificate && (() => resolveCertificate(request));
    const wishMs = Math.min(
      requestTimeoutMs(request.headers['x-request-timeout-ms']),
      parseGrpcTimeoutMs(request.headers['grpc-timeout']) ?? Number.POSITIVE_INFINITY,
    );
    this.isHurried = wishMs < options.deadlineMs;
    this.deadlineAtMs = this.startedAtMs + Math.min(wishMs, options.deadlineMs);
    this.#response = response;
  }

  get changeCall(): ChangeCall | undefined {
    return this.plugins?.changeCall;
  }

  end(): void {
    if (!this.#response.writableFinished) this.departure.happen();
  }

  atEnd(listener: () => void): void {
    if (this.#response.closed) {
      listener();
      return;
    }
    if (this.#atEnd === undefined) {
      const listeners: (() => void)[] = [];
      this.#atEnd = listeners;
      this.#response.once('close', () => {
        for (const each of listeners) each();
      });
    }
    this.#atEnd.push(listener);
  }
}

function requestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && wellFormedRequestId.test(given) ? given : randomUUID();
}

function requestTimeoutMs(given: string | string[] | undefined): number {
  return typeof given === 'string' && wellFormedTimeout.test(given) ? Number(given) : Number.POSITIVE_INFINITY;
}
