/** Answers before the answer (RFC 9110 section 15.2): `100 Continue` from us, 102 and 103 from services. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { endToEndResponseHeaders } from '../subgraphs/forwarding.ts';

/**
 * Sends 100 when somebody wants to read the body, and not before: a request that is refused costs its client no upload
 * (RFC 9110 section 10.1.1).
 */
export function continueWhenRead(request: IncomingMessage, response: ServerResponse): void {
  const read = request._read;
  request._read = (size) => {
    request._read = read;
    // What is read after the answer is only thrown away.
    if (!response.headersSent && !response.destroyed) response.writeContinue();
    read.call(request, size);
  };
}

/** Passes an interim answer on to clients that know such a thing. */
export function forwardInterim(
  status: number,
  rawHeaders: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (request.httpVersion === '1.0' || response.headersSent || response.destroyed) return;
  response.writeInformation(status, endToEndResponseHeaders(rawHeaders));
}
