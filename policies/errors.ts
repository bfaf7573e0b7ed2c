/**
 * The one table of error codes. It serves GraphQL (`extensions.code`), REST (`application/problem+json`, RFC 9457) and
 * `Proxy-Status` (RFC 9209). Everyone throws by code; nobody writes a status number anywhere else.
 */
import { GraphQLError } from 'graphql';

interface ErrorKind {
  /** HTTP status of a REST answer, and of a GraphQL answer that has no data. */
  readonly status: number;
  /** The problem's `title` (RFC 9457 section 3.1.3) and the message when the thrower gives none. */
  readonly title: string;
  /** Whether the same request may succeed if it is sent again a little later. */
  readonly retryMayHelp: boolean;
  /** The `error` parameter of Proxy-Status (RFC 9209 section 2.3) where one of the registered types fits. */
  readonly proxyError?: string;
}

export const errorKinds = {
  BAD_REQUEST: { status: 400, title: 'Bad request', retryMayHelp: false, proxyError: 'http_request_error' },
  GRAPHQL_PARSE_FAILED: { status: 400, title: 'The GraphQL document cannot be parsed', retryMayHelp: false },
  GRAPHQL_VALIDATION_FAILED: { status: 400, title: 'The GraphQL document is not valid', retryMayHelp: false },
  DOCUMENT_TOO_LARGE: { status: 400, title: 'The GraphQL document is too large', retryMayHelp: false },
  TOO_MANY_TOKENS: { status: 400, title: 'The GraphQL document has too many tokens', retryMayHelp: false },
  OPERATION_TOO_DEEP: { status: 400, title: 'The operation is too deep', retryMayHelp: false },
  OPERATION_TOO_COMPLEX: { status: 400, title: 'The operation costs too much', retryMayHelp: false },
  TOO_MANY_ALIASES: { status: 400, title: 'The operation has too many aliases', retryMayHelp: false },
  TOO_MANY_ROOT_FIELDS: { status: 400, title: 'The operation has too many root fields', retryMayHelp: false },
  TOO_MANY_DIRECTIVES: { status: 400, title: 'The operation has too many directives', retryMayHelp: false },
  BATCH_TOO_LARGE: { status: 400, title: 'The batch has too many operations', retryMayHelp: false },
  PERSISTED_QUERY_NOT_FOUND: { status: 400, title: 'PersistedQueryNotFound', retryMayHelp: false },
  PERSISTED_QUERY_NOT_SUPPORTED: { status: 400, title: 'PersistedQueryNotSupported', retryMayHelp: false },
  PERSISTED_QUERY_MISMATCH: { status: 400, title: 'The document is not the one of that hash', retryMayHelp: false },
  PERSISTED_QUERY_REQUIRED: { status: 400, title: 'Only persisted operations are answered', retryMayHelp: false },
  UNAUTHENTICATED: {
    status: 401,
    title: 'Authentication required',
    retryMayHelp: false,
    proxyError: 'http_request_denied',
  },
  FORBIDDEN: { status: 403, title: 'Forbidden', retryMayHelp: false, proxyError: 'http_request_denied' },
  ROUTE_NOT_FOUND: { status: 404, title: 'No route matches', retryMayHelp: false, proxyError: 'destination_not_found' },
  NOT_FOUND: { status: 404, title: 'Not found', retryMayHelp: false },
  METHOD_NOT_ALLOWED: {
    status: 405,
    title: 'Method not allowed',
    retryMayHelp: false,
    proxyError: 'http_request_denied',
  },
  REQUEST_TIMEOUT: {
    status: 408,
    title: 'The request was too slow',
    retryMayHelp: true,
    proxyError: 'http_request_error',
  },
  CONFLICT: { status: 409, title: 'Conflict', retryMayHelp: false },
  GONE: { status: 410, title: 'The path is retired', retryMayHelp: false, proxyError: 'http_request_denied' },
  PRECONDITION_FAILED: { status: 412, title: 'Precondition failed', retryMayHelp: false },
  PAYLOAD_TOO_LARGE: {
    status: 413,
    title: 'Payload too large',
    retryMayHelp: false,
    proxyError: 'http_request_denied',
  },
  URI_TOO_LONG: {
    status: 414,
    title: 'URI too long',
    retryMayHelp: false,
    proxyError: 'http_request_error',
  },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'Unsupported media type', retryMayHelp: false },
  EXPECTATION_FAILED: {
    status: 417,
    title: 'The expectation cannot be met',
    retryMayHelp: false,
    proxyError: 'http_request_error',
  },
  MISDIRECTED_REQUEST: {
    status: 421,
    title: 'This host is not answered for',
    retryMayHelp: false,
    proxyError: 'http_request_denied',
  },
  REGISTRATION_REFUSED: { status: 422, title: 'The registration is refused', retryMayHelp: false },
  VALIDATION_FAILED: {
    status: 422,
    title: 'The request is not valid',
    retryMayHelp: false,
    proxyError: 'http_request_denied',
  },
  RATE_LIMIT_EXCEEDED: {
    status: 429,
    title: 'Rate limit exceeded',
    retryMayHelp: true,
    proxyError: 'http_request_denied',
  },
  HEADERS_TOO_LARGE: {
    status: 431,
    title: 'Request header fields too large',
    retryMayHelp: false,
    proxyError: 'http_request_error',
  },
  CLIENT_CLOSED_REQUEST: { status: 499, title: 'The client left', retryMayHelp: false },
  INTERNAL_SERVER_ERROR: {
    status: 500,
    title: 'Internal server error',
    retryMayHelp: false,
    proxyError: 'proxy_internal_error',
  },
  UPGRADE_NOT_SUPPORTED: {
    status: 501,
    title: 'Not available over this protocol',
    retryMayHelp: false,
    proxyError: 'http_request_denied',
  },
  DOWNSTREAM_SERVICE_ERROR: {
    status: 502,
    title: 'The service failed',
    retryMayHelp: true,
    proxyError: 'http_protocol_error',
  },
  SERVICE_UNAVAILABLE: {
    status: 503,
    title: 'No healthy instance',
    retryMayHelp: true,
    proxyError: 'destination_unavailable',
  },
  ROUTE_DOES_NOT_FIT: {
    status: 503,
    title: 'The graph does not have what this route asks for',
    retryMayHelp: false,
    proxyError: 'destination_unavailable',
  },
  CIRCUIT_BREAKER_OPEN: {
    status: 503,
    title: 'The circuit breaker is open',
    retryMayHelp: true,
    proxyError: 'destination_unavailable',
  },
  OVERLOADED: { status: 503, title: 'Overloaded', retryMayHelp: true, proxyError: 'connection_limit_reached' },
  GATEWAY_TIMEOUT: {
    status: 504,
    title: 'The service was too late',
    retryMayHelp: true,
    proxyError: 'http_response_timeout',
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

/** One thing that is wrong with a request, and where (RFC 9457 section 3, in its example). */
export interface RequestMistake {
  readonly in: 'body' | 'query' | 'header' | 'path';
  /** JSON pointer (RFC 6901) into the body, or to a parameter by its name. */
  readonly pointer: string;
  readonly message: string;
}

/** One reason among several for a refusal, e.g. one composition error or one mistake in a configuration. */
export interface ErrorReason {
  /** A sentence for a person: what is wrong and what was expected. */
  readonly message: string;
  /** The service that the reason concerns. */
  readonly service?: string;
  /** The GraphQL type, field, or JSON pointer that the reason concerns. */
  readonly type?: string;
  readonly field?: string;
  readonly path?: string;
  /** The code of a library below, e.g. `INVALID_FIELD_SHARING` of federation composition. */
  readonly code?: string;
}

export interface GatewayErrorOptions {
  /** The service concerned. Its name may leave; addresses of instances never do. */
  readonly service?: string | undefined;
  /** Seconds after which another try makes sense: becomes `Retry-After`. Rounded up, at least 1. */
  readonly retryAfterSeconds?: number | undefined;
  /** Reasons in detail, for refusals. May leave. */
  readonly reasons?: readonly ErrorReason[] | undefined;
  /** What is wrong with the request, with VALIDATION_FAILED. May leave. */
  readonly mistakes?: readonly RequestMistake[] | undefined;
  /** Methods for `Allow`, with METHOD_NOT_ALLOWED (RFC 9110 section 15.5.6). */
  readonly allow?: readonly string[] | undefined;
  /** The challenge for `WWW-Authenticate`, with UNAUTHENTICATED and FORBIDDEN (RFC 6750 section 3). */
  readonly challenge?: string | undefined;
  /** Code and status that the client sees in place of those of the table: an operator's own, of a plugin. */
  readonly shownAs?: { readonly code: string; readonly status: number } | undefined;
  /** The type of Proxy-Status (RFC 9209 section 2.3), where more is known than the code says. */
  readonly proxyError?: string | undefined;
  /** What happened underneath. For logs only: it never leaves the process. */
  readonly cause?: unknown;
}

/** An error the gateway itself makes. Its message is written for the client; what must stay inside goes into `cause`. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly service: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly reasons: readonly ErrorReason[] | undefined;
  readonly mistakes: readonly RequestMistake[] | undefined;
  readonly allow: readonly string[] | undefined;
  readonly challenge: string | undefined;
  readonly shownAs: { readonly code: string; readonly status: number } | undefined;
  readonly proxyError: string | undefined;

  constructor(code: ErrorCode, message: string = errorKinds[code].title, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.service = options.service;
    this.retryAfterSeconds =
      options.retryAfterSeconds === undefined ? undefined : Math.max(1, Math.ceil(options.retryAfterSeconds));
    this.reasons = options.reasons;
    this.mistakes = options.mistakes;
    this.allow = options.allow;
    this.challenge = options.challenge;
    this.shownAs = options.shownAs;
    this.proxyError = options.proxyError;
  }

  get status(): number {
    return this.shownAs?.status ?? errorKinds[this.code].status;
  }
}

/** Anything that was thrown, as a GatewayError. What is not ours says nothing to the client but that it happened. */
export function toGatewayError(thrown: unknown): GatewayError {
  return thrown instanceof GatewayError
    ? thrown
    : new GatewayError('INTERNAL_SERVER_ERROR', undefined, { cause: thrown });
}

/** A problem document (RFC 9457) with the headers that belong to it. */
export interface Problem {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/**
 * The REST form of an error. `type` stays `about:blank` (RFC 9457 section 4.2.1): `code` is what programs read.
 */
export function toProblem(error: GatewayError, requestId: string): Problem {
  const kind: ErrorKind = errorKinds[error.code];
  const body = JSON.stringify({
    type: 'about:blank',
    title: error.shownAs === undefined ? kind.title : error.message,
    status: error.status,
    detail: error.message,
    code: error.shownAs?.code ?? error.code,
    requestId,
    service: error.service,
    retryAfter: error.retryAfterSeconds,
    reasons: error.reasons,
    errors: error.mistakes,
  });
  return {
    status: error.status,
    headers: {
      'content-type': 'application/problem+json',
      'content-length': String(Buffer.byteLength(body)),
      ...errorHeaders(error),
    },
    body,
  };
}

/** The headers that an error brings to either door. */
export function errorHeaders(error: GatewayError): Record<string, string> {
  const kind: ErrorKind = errorKinds[error.code];
  const headers: Record<string, string> = {};
  if (error.retryAfterSeconds !== undefined) headers['retry-after'] = String(error.retryAfterSeconds);
  if (error.allow !== undefined) headers['allow'] = error.allow.join(', ');
  // A 401 must carry a challenge (RFC 9110 section 15.5.2); a 403 for want of scopes may (RFC 6750 section 3.1).
  const challenge = error.challenge ?? (error.code === 'UNAUTHENTICATED' ? 'Bearer' : undefined);
  if (challenge !== undefined) headers['www-authenticate'] = challenge;
  const proxyError = error.proxyError ?? kind.proxyError;
  if (proxyError !== undefined) headers['proxy-status'] = `selvage; error=${proxyError}`;
  return headers;
}

/**
 * The GraphQL form of an error. `extensions.http` is read and removed by Yoga: it sets the status where the answer has
 * no data, and the headers.
 */
export function toGraphQLError(error: GatewayError, requestId: string): GraphQLError {
  return new GraphQLError(error.message, {
    originalError: error,
    extensions: {
      code: error.shownAs?.code ?? error.code,
      requestId,
      ...(error.service !== undefined && { service: error.service }),
      ...(error.retryAfterSeconds !== undefined && { retryAfter: error.retryAfterSeconds }),
      ...(error.reasons !== undefined && { reasons: error.reasons }),
      http: { status: error.status, headers: errorHeaders(error) },
    },
  });
}
