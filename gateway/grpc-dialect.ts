/** Which form of gRPC a client speaks, and how answers end in it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { errorHeaders, type GatewayError } from '../policies/errors.ts';
import { encodeGrpcMessage, type GrpcStatus, toGrpcStatus } from '../policies/grpc-status.ts';
import { frameMessage, trailerFlag } from '../subgraphs/grpc-frames.ts';
import type { GatewayRequest } from './context.ts';
import { edgeHeaders, finishHeaders } from './edge-headers.ts';
import { noteGrpcCall, noteGrpcFailure } from './grpc-facts.ts';
import { Http2Response } from './http2-messages.ts';

/** gRPC itself, gRPC-Web with bytes, and gRPC-Web in base64. */
export type GrpcForm = 'grpc' | 'web' | 'web-text';

const contentTypeForm = /^application\/grpc(-web(-text)?)?(\+[\w.-]+)?\s*(?:;|$)/i;

/** Null for a request that is none of gRPC. */
export function readGrpcForm({ headers }: Pick<IncomingMessage, 'headers'>): GrpcForm | null {
  const type = headers['content-type'];
  if (type === undefined || type.length < 16 || !/^application\/grpc/i.test(type)) return null;
  const match = contentTypeForm.exec(type);
  if (match === null) return null;
  return match[1] === undefined ? 'grpc' : match[2] === undefined ? 'web' : 'web-text';
}

/** The type of another form with the same kind of messages. */
export function contentTypeOf(form: GrpcForm, given: string | undefined): string {
  const suffix = contentTypeForm.exec(given ?? '')?.[3] ?? '+proto';
  return `application/grpc${form === 'grpc' ? '' : form === 'web' ? '-web' : '-web-text'}${suffix}`;
}

/** Trailers as a frame of gRPC-Web. */
export function frameTrailers(trailers: readonly (readonly [string, string])[]): Buffer {
  const lines = trailers.map(([name, value]) => `${name.toLowerCase()}:${value}\r\n`).join('');
  return frameMessage(Buffer.from(lines, 'latin1'), trailerFlag);
}

/** Bytes of a body as the client gets them. Pieces of base64 may stand side by side, each with its own padding. */
export function encodeBody(form: GrpcForm, bytes: Buffer): Buffer | string {
  return form === 'web-text' ? bytes.toString('base64') : bytes;
}

export function statusFields({ code, message }: GrpcStatus): [string, string][] {
  return [
    ['grpc-status', String(code)],
    ...(message === '' ? [] : [['grpc-message', encodeGrpcMessage(message)] as [string, string]]),
  ];
}

/** Answers a client of gRPC that its call failed: HTTP 200 and a status, whatever went wrong. */
export function answerGrpcFailure(
  form: GrpcForm,
  error: GatewayError,
  request: IncomingMessage,
  response: ServerResponse,
  context: GatewayRequest,
): void {
  noteGrpcCall(context, form);
  noteGrpcFailure(context, error);
  const fields = errorFields(error);
  const headers = [...edgeHeaders(context), 'content-type', contentTypeOf(form, request.headers['content-type'])];
  headers.push(...Object.entries(errorHeaders(error)).flat());
  if (form === 'grpc') {
    headers.push(...fields.flat());
    // Trailers-Only: a head that is the end as well.
    if (response instanceof Http2Response) response.endsWithHead = true;
    response.writeHead(200, finishHeaders(context, headers));
    response.end();
    return;
  }
  response.writeHead(200, finishHeaders(context, headers));
  response.end(encodeBody(form, frameTrailers(fields)));
}

/** Ends an answer that has begun with the status of an error. */
export function endWithStatus(form: GrpcForm, error: GatewayError, response: ServerResponse): void {
  if (form === 'grpc') {
    response.addTrailers(errorFields(error));
    response.end();
  } else response.end(encodeBody(form, frameTrailers(errorFields(error))));
}

function errorFields(error: GatewayError): [string, string][] {
  const fields = statusFields(toGrpcStatus(error));
  // Clients that retry by themselves wait for so long (gRFC A6).
  if (error.retryAfterSeconds !== undefined) {
    fields.push(['grpc-retry-pushback-ms', String(error.retryAfterSeconds * 1_000)]);
  }
  return fields;
}
