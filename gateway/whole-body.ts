/** Bodies of requests that are needed whole: of which kinds, up to which size. */
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import type { BodyRule, RequestValidation } from '../policies/request-validation.ts';
import type { BodyTransform } from '../policies/transform.ts';
import { readBody } from './request-body.ts';
import type { IncomingExchange } from './route-messages.ts';

/** Somebody who needs bodies of some types. */
export interface BodyReader {
  takes(contentType: string | undefined): boolean;
  readonly maxBytes: number;
  /** Whether a body that it cannot have is no reason to refuse the request. */
  readonly isOptional: boolean;
}

export function listReaders(
  validation: Pick<RequestValidation, 'mode' | 'maxBytes'> | null,
  bodies: readonly BodyRule[],
  transform: BodyTransform | null,
  transformBytes: number,
): readonly BodyReader[] {
  const readers: BodyReader[] = [];
  if (validation !== null) {
    const { maxBytes, mode } = validation;
    const isRead = (found: ReturnType<BodyRule['find']>) => found !== null && found !== 'any';
    for (const { find } of bodies) {
      readers.push({ takes: (type) => isRead(find(type)), maxBytes, isOptional: mode === 'log' });
    }
  }
  if (transform !== null) {
    readers.push({ takes: (type) => transform.takes(type), maxBytes: transformBytes, isOptional: false });
  }
  return readers;
}

/** Whether the head of a request says that nothing follows (RFC 9112 section 6.3). */
export function isEmpty({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0';
}

/** The body, if anybody needs it; null where there is none, undefined where it streams. */
export async function readWhole(
  { request, context, maxBodyBytes }: IncomingExchange,
  readers: readonly BodyReader[],
): Promise<Buffer | null | undefined> {
  if (readers.length === 0) return undefined;
  if (isEmpty(request)) return null;
  const { headers } = request;
  const needing = readers.filter((reader) => reader.takes(headers['content-type']) && !mayPass(reader, request));
  if (needing.length === 0) return undefined;
  assertReadable(headers);
  const maxBytes = Math.min(maxBodyBytes, ...needing.map((reader) => reader.maxBytes));
  const bytes = await readBody(request, maxBytes, context);
  context.meter?.passRequest(bytes.length);
  return bytes.length === 0 ? null : bytes;
}

/** Who only wants to know leaves alone what it could refuse alone for its form or size. */
function mayPass({ isOptional, maxBytes }: BodyReader, { headers }: IncomingMessage): boolean {
  return isOptional && (!(Number(headers['content-length']) <= maxBytes) || headers['content-encoding'] !== undefined);
}

function assertReadable(headers: IncomingMessage['headers']): void {
  const { 'content-encoding': coding = 'identity', 'content-type': type = '' } = headers;
  // RFC 7694: who sends a coding that is not taken hears so.
  if (coding.toLowerCase() !== 'identity') {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'This path takes no Content-Encoding');
  }
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(type)?.[1]?.toLowerCase() ?? 'utf-8';
  if (charset !== 'utf-8' && charset !== 'us-ascii') {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'This path takes bodies in UTF-8 only');
  }
}
