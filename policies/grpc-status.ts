/** Statuses of gRPC, and what they are in HTTP and in our own codes (google/rpc/code.proto; gRPC over HTTP2, Responses). */
import type { ErrorCode, GatewayError } from './errors.ts';

/** Names by number. */
export const grpcStatusNames = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
export type GrpcStatusName = (typeof grpcStatusNames)[number];

/** The table that google/rpc/code.proto publishes. */
export const grpcHttpStatuses: Readonly<Record<GrpcStatusName, number>> = {
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
};

/** Where a code says more than its status in HTTP. */
const byCode: Partial<Readonly<Record<ErrorCode, GrpcStatusName>>> = {
  ROUTE_NOT_FOUND: 'UNIMPLEMENTED',
  METHOD_NOT_ALLOWED: 'UNIMPLEMENTED',
  CLIENT_CLOSED_REQUEST: 'CANCELLED',
};

const byHttpStatus: Readonly<Record<number, GrpcStatusName>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  408: 'DEADLINE_EXCEEDED',
  409: 'ABORTED',
  412: 'FAILED_PRECONDITION',
  413: 'RESOURCE_EXHAUSTED',
  415: 'INVALID_ARGUMENT',
  417: 'INVALID_ARGUMENT',
  429: 'RESOURCE_EXHAUSTED',
  431: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  501: 'UNIMPLEMENTED',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

export interface GrpcStatus {
  readonly code: number;
  readonly message: string;
}

/** A number that a service may have said; what is none of ours is UNKNOWN. */
export function nameGrpcStatus(code: number): GrpcStatusName {
  return grpcStatusNames[code] ?? 'UNKNOWN';
}

/** An error of the gateway as a client of gRPC gets it. */
export function toGrpcStatus(error: GatewayError): GrpcStatus {
  const name = byCode[error.code] ?? byHttpStatus[error.status] ?? (error.status < 500 ? 'UNKNOWN' : 'INTERNAL');
  return { code: grpcStatusNames.indexOf(name), message: error.message };
}

/** `grpc-message` is UTF-8 with all but visible ASCII percent-encoded. */
export function encodeGrpcMessage(message: string): string {
  return message
    .toWellFormed()
    .replaceAll(/[^ -$&-~]+/g, (text) =>
      Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
    );
}

/** Its text. What is not encoded well stays as it is: a client is better served with that than with nothing. */
export function decodeGrpcMessage(message: string): string {
  if (!message.includes('%')) return message;
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

const timeoutUnitsMs = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 } as const;

/** Milliseconds of a `grpc-timeout`; undefined for what is none. */
export function parseGrpcTimeoutMs(value: unknown): number | undefined {
  const match = typeof value === 'string' ? /^(\d{1,8})([HMSmun])$/.exec(value) : null;
  if (match === null) return undefined;
  return Number(match[1]) * timeoutUnitsMs[match[2] as keyof typeof timeoutUnitsMs];
}

/** A `grpc-timeout`; its number has at most eight digits. */
export function formatGrpcTimeout(ms: number): string {
  if (ms < 99_999_999) return `${Math.max(1, Math.floor(ms))}m`;
  return `${Math.min(99_999_999, Math.floor(ms / 1_000))}S`;
}
