/**
 * What Node's parser lets through and a service might read differently (RFC 9112 sections 2.3, 3.2, 6.1, 7.1). A
 * connection on which such a request came carries no other one: where it ends is what is in doubt. In HTTP/2, where frames
 * leave no doubt, it concerns the one stream; what it becomes is a request of HTTP/1.1 all the same.
 */
import { type IncomingMessage, METHODS } from 'node:http';
import { GatewayError } from '../policies/errors.ts';
import { Http2Request } from './http2-messages.ts';

const knownMethods: ReadonlySet<string> = new Set(METHODS);
/** `uri-host [ ":" port ]` (RFC 9110 section 7.2), without what could make it more than that. */
const wellFormedHost = /^(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;

export interface HeadLimits {
  readonly maxHeaderCount: number;
  readonly maxHeaderBytes: number;
}

/** Throws BAD_REQUEST or HEADERS_TOO_LARGE. */
export function assertFraming(request: IncomingMessage, { maxHeaderCount, maxHeaderBytes }: HeadLimits): void {
  const { httpVersion, rawHeaders, headers } = request;
  if (request instanceof Http2Request) {
    if (request.isContradictory) throw refuse('The request names two hosts, or a user');
    // In HTTP/1.1 the parser has refused it.
    if (request.headBytes > maxHeaderBytes) throw new GatewayError('HEADERS_TOO_LARGE');
  } else if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    // The parser takes 0.9 and 2.0 as well, and knows methods of other protocols.
    throw refuse('This version of HTTP is not spoken here');
  }
  if (!knownMethods.has(request.method ?? '')) throw refuse('This method is not known');
  if (rawHeaders.length > 2 * maxHeaderCount) {
    throw new GatewayError('HEADERS_TOO_LARGE', `The request has more than ${maxHeaderCount} header fields`);
  }
  assertHost(headers.host, rawHeaders, httpVersion);
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return;
  // Old proxies pass a coding on without understanding it, so an HTTP/1.0 message that has one is framed in doubt.
  if (httpVersion === '1.0') throw refuse('HTTP/1.0 has no Transfer-Encoding');
  if (coding.toLowerCase() !== 'chunked') throw refuse('The only Transfer-Encoding read here is `chunked`');
}

/** RFC 9112 section 3.2: a request of HTTP/1.1 names the host, and any request at most once. */
function assertHost(host: string | undefined, rawHeaders: readonly string[], httpVersion: string): void {
  if (host === undefined) {
    if (httpVersion === '1.0') return;
    throw refuse('The request has no Host');
  }
  if (!wellFormedHost.test(host)) throw refuse('Host is not a host with an optional port');
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === 4 && name.toLowerCase() === 'host') count++;
  }
  if (count > 1) throw refuse('The request has more than one Host');
}

function refuse(message: string): GatewayError {
  return new GatewayError('BAD_REQUEST', message);
}
