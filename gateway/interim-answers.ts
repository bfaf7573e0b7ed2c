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
    if (!response.headersSent && !response.destroyed) {
      keepInFront(response);
      response.writeContinue();
    }
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
  keepInFront(response);
  response.writeInformation(status, endToEndResponseHeaders(rawHeaders));
}

/**
 * While a pipelined answer waits for its turn, Node puts its head in front of all that was written so far when the body
 * begins with a buffer: the interim answer would become the first bytes of the body. A head that is flushed at once stays
 * where it belongs.
 */
function keepInFront(response: ServerResponse): void {
  if (response.socket !== null || Object.hasOwn(response, 'writeHead')) return;
  const { writeHead } = response;
  Object.assign(response, {
    writeHead(...head: Parameters<typeof writeHead>) {
      writeHead.apply(response, head);
      response.flushHeaders();
      return response;
    },
  });
}
