/** Bodies that are held, so that a request which came to nothing can be sent again. */
import type { IncomingMessage } from 'node:http';
import type { GatewayRequest } from './context.ts';
import { readBody } from './request-body.ts';
import type { RouteTarget } from './route-table.ts';

const maxReplayableBytes = 65_536;

/**
 * Whether the service will do the request once, however often it is sent (draft-ietf-httpapi-idempotency-key-header), and
 * its body is small enough to be held until it has an answer.
 */
export function isReplayable({ route }: RouteTarget, { headers }: IncomingMessage): boolean {
  if (route.idempotencyKeys !== true || headers['transfer-encoding'] !== undefined) return false;
  const key = headers['idempotency-key'];
  return typeof key === 'string' && key !== '' && Number(headers['content-length'] ?? 0) <= maxReplayableBytes;
}

/** The body of such a request. */
export async function readReplayable(
  request: IncomingMessage,
  { maxBodyBytes }: RouteTarget,
  context: GatewayRequest,
): Promise<Buffer | null> {
  if ((request.headers['content-length'] ?? '0') === '0') return null;
  const maxBytes = Math.min(maxReplayableBytes, maxBodyBytes);
  const body = await readBody(request, maxBytes, context);
  context.meter?.passRequest(body.length);
  return body;
}
