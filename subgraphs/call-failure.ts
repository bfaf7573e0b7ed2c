/** The one place where a failed attempt becomes a code, and facts to act upon. */
import { constants } from 'node:http2';
import { type ErrorCode, GatewayError } from '../policies/errors.ts';

export interface CallFailure {
  /** What the caller gets if nothing follows. A GatewayError, unless the receiver gave up for a reason of its own. */
  readonly error: Error;
  /** Whether any byte may have reached the instance. When none did, every request may be tried again. */
  readonly sent: boolean;
  /** Whether no connection could be made: the instance leaves the rotation until a probe reaches it. */
  readonly connectFailure: boolean;
  /** Whether the circuit breaker of the instance counts it. */
  readonly countsAgainstInstance: boolean;
  /** Whether another try is of no use, whatever the instance. */
  readonly final: boolean;
  /** The instance says that it did nothing with what was sent: another one may be asked, whatever the request. */
  readonly refused?: true;
}

/**
 * A connection could not be made; the cause says why. The connector throws it, because the error of a socket does not
 * tell whether it was ever connected: an idle connection may be reset just when a request is about to take it.
 */
export class ConnectFailure extends Error {
  override readonly name = 'ConnectFailure';

  constructor(cause: Error) {
    super('no connection', { cause });
  }
}

/** Our own lack of sockets, ports or memory. It says nothing about the instance, and trying on makes it worse. */
const localShortages: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'EADDRNOTAVAIL',
  'EAGAIN',
]);

/** The request cannot be written as HTTP/1.1: nothing about it will change by trying again. */
const unsendable: ReadonlySet<string> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
]);

/** The pool was closed between choosing the instance and sending: the instance has just left the registry. */
const poolGone: ReadonlySet<string> = new Set(['UND_ERR_CLOSED', 'UND_ERR_DESTROYED']);

const late: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

/** What RFC 9209 section 2.3 calls it. Codes that are not here are told by the code of the error. */
const proxyErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection_refused',
  ENOTFOUND: 'dns_error',
  EAI_AGAIN: 'dns_error',
  EHOSTUNREACH: 'destination_ip_unroutable',
  ENETUNREACH: 'destination_ip_unroutable',
  ETIMEDOUT: 'connection_timeout',
  UND_ERR_CONNECT_TIMEOUT: 'connection_timeout',
  ECONNRESET: 'connection_terminated',
  EPIPE: 'connection_terminated',
  UND_ERR_SOCKET: 'connection_terminated',
  UND_ERR_HEADERS_OVERFLOW: 'http_response_header_section_size',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'http_response_incomplete',
  CERT_HAS_EXPIRED: 'tls_certificate_error',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls_certificate_error',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls_certificate_error',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls_certificate_error',
  ERR_TLS_CERT_ALTNAME_INVALID: 'tls_certificate_error',
  EPROTO: 'tls_protocol_error',
};

const innocent = { connectFailure: false, countsAgainstInstance: false, final: false } as const;

/**
 * What undici, a socket or the request's own body threw. A GatewayError among them is the verdict of whoever feeds the
 * body (e.g. that it is too large) and stays what it is.
 *
 * That no connection could be made is SERVICE_UNAVAILABLE, as it will be for the calls after it, which find the
 * instance out of the rotation. The breaker does not count it: the health monitor finds out sooner, and without
 * spending a client's call, when the instance listens again.
 */
export function classifyFailure(thrown: unknown, service: string, sent: boolean): CallFailure {
  if (thrown instanceof GatewayError) return { ...innocent, error: thrown, sent, final: true };
  const code = failureCode(thrown);
  const fail = (as: ErrorCode, message?: string): GatewayError =>
    new GatewayError(as, message, { service, proxyError: proxyErrors[code], cause: thrown });

  if (unsendable.has(code)) {
    return { ...innocent, error: fail('BAD_REQUEST', 'The request cannot be forwarded'), sent, final: true };
  }
  if (sent) {
    const error = fail(late.has(code) ? 'GATEWAY_TIMEOUT' : 'DOWNSTREAM_SERVICE_ERROR');
    return { ...innocent, error, sent, countsAgainstInstance: !poolGone.has(code) };
  }
  if (poolGone.has(code)) return { ...innocent, error: fail('SERVICE_UNAVAILABLE'), sent };
  if (localShortages.has(code)) return { ...innocent, error: fail('OVERLOADED'), sent, final: true };
  const error = fail('SERVICE_UNAVAILABLE', 'The service cannot be reached');
  // EAI_AGAIN: the name server does not answer. It would take every instance of every service out at once.
  const connectFailure = thrown instanceof ConnectFailure && code !== 'EAI_AGAIN';
  return { ...innocent, error, sent, connectFailure };
}

/** REFUSED_STREAM: nothing was processed (RFC 9113 section 8.7). undici has sent it a second time by then. */
export function isRefusedStream(thrown: Error): boolean {
  return 'http2ErrorCode' in thrown && thrown.http2ErrorCode === constants.NGHTTP2_REFUSED_STREAM;
}

/** The instance refused the request, and has nothing of it that could not be sent elsewhere. */
export function refusedStreamFailure(cause: Error, service: string): CallFailure {
  const options = { service, cause, retryAfterSeconds: 1 };
  const error = new GatewayError('SERVICE_UNAVAILABLE', 'The service refused the request', options);
  return { ...innocent, error, sent: false, countsAgainstInstance: true, refused: true };
}

/** The head of the answer, or the whole of it, was not there in time. */
export function lateFailure(service: string, sent: boolean, countsAgainstInstance: boolean): CallFailure {
  return {
    ...innocent,
    error: new GatewayError('GATEWAY_TIMEOUT', undefined, { service }),
    sent,
    countsAgainstInstance,
  };
}

/** The client left; nobody is to blame and nothing is of use any more. */
export function departureFailure(service: string, sent: boolean, cause?: unknown): CallFailure {
  const error = new GatewayError('CLIENT_CLOSED_REQUEST', undefined, { service, cause });
  return { ...innocent, error, sent, final: true };
}

/** Another attempt of the same call has the answer. */
export function outrunFailure(service: string): CallFailure {
  const error = new GatewayError('CLIENT_CLOSED_REQUEST', 'Another attempt was faster', { service });
  return { ...innocent, error, sent: true, final: true };
}

/** The receiver gave the answer up. */
export function refusalFailure(error: Error): CallFailure {
  return { ...innocent, error, sent: true, final: true };
}

/** A status that invites another try (502, 503, 504): what the call ends with if that try cannot be made after all. */
export function statusFailure(service: string, status: number): CallFailure {
  const error = new GatewayError('DOWNSTREAM_SERVICE_ERROR', undefined, {
    service,
    cause: new Error(`status ${status}`),
  });
  return { ...innocent, error, sent: true, countsAgainstInstance: true };
}

/** The code of whatever was thrown, for logs and the admin API: it names no address. */
export function failureCode(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'unknown';
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
  if (code !== '' || thrown.cause === undefined) return code === '' ? thrown.name : code;
  return failureCode(thrown.cause);
}

/** Whatever was thrown, as an error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
