/** Requests that ask to leave HTTP (RFC 9110 section 7.8): which there are, and what must hold for them. */
import { createHash } from 'node:crypto';
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { GatewayError } from '../policies/errors.ts';
import { assertOwnOrigin, type OriginSubject } from '../policies/request-origin.ts';
import { isTransport, type UpgradeRule } from '../policies/upgrade-options.ts';
import type { EdgePolicies } from './edge-policies.ts';

/** A request that asks, with the connection that it came on. */
export interface AskedUpgrade {
  /** In lower case; those that could be taken, and there is one at least. */
  readonly protocols: readonly string[];
  /** What the client has sent behind its request. */
  readonly head: Buffer;
  /** The connection, which the end of the answer does not end any more. */
  take(): Socket;
}

/**
 * Whether a request is taken off HTTP's hands. What is not, is a plain request, and its `Upgrade` is ignored: `h2c` above
 * all, which some clients send with all they ask.
 */
export function isUpgrade(request: IncomingMessage): boolean {
  // Bytes behind the head would be a body for one reader, and the first of another protocol for the next one.
  return asksForUpgrade(request) && !hasBody(request) && !isAnswering(request.socket);
}

/** Throws for a request that asks for something worth asking, in a way that cannot be answered by it. */
export function assertPlain(request: IncomingMessage): void {
  if (request.headers.upgrade === undefined || !asksForUpgrade(request)) return;
  throw new GatewayError(
    'BAD_REQUEST',
    hasBody(request)
      ? 'A request with Upgrade has no body here'
      : 'A request with Upgrade must wait for the answers before it',
  );
}

/**
 * A request that Node has handed out with its bare connection, and an answer to it as all other requests have one. That
 * ends with the connection, unless the connection is taken.
 */
export function acceptUpgrade(
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
): { readonly asked: AskedUpgrade; readonly response: ServerResponse } {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // Who ends before it has an answer has left: without HTTP, nothing would read on for it.
  const onEnd = () => socket.destroy();
  const onDrain = () => response.emit('drain');
  const onFinish = () => socket.destroySoon();
  // Node has removed its own listeners.
  socket.on('error', () => {});
  socket.setTimeout(0);
  socket.on('end', onEnd);
  socket.on('drain', onDrain);
  response.assignSocket(socket);
  response.once('finish', onFinish);
  const take = () => {
    socket.off('end', onEnd);
    socket.off('drain', onDrain);
    response.off('finish', onFinish);
    return socket;
  };
  return { response, asked: { protocols: listProtocols(request), head, take } };
}

/**
 * The protocol in which a request goes on; null for one that goes on in HTTP. Throws where it can do neither: a WebSocket
 * handshake is of no use to whoever expects a plain GET.
 */
export function chooseProtocol(rule: UpgradeRule | null, asked: AskedUpgrade | undefined): string | null {
  if (asked === undefined) return null;
  const chosen = asked.protocols.find((protocol) => rule?.protocols.has(protocol)) ?? null;
  if (chosen === null && asked.protocols.includes('websocket')) throw noWebSocket();
  return chosen;
}

export function noWebSocket(): GatewayError {
  return new GatewayError('UPGRADE_NOT_SUPPORTED', 'No WebSocket is offered here');
}

/**
 * What holds for a WebSocket handshake beside the policies of its route: its form, and where it comes from. A page of
 * another site can open one with the user's cookies, and read what comes back (cross-site WebSocket hijacking).
 */
export function assertHandshake(subject: OriginSubject, { csrf, cors, upgrade }: EdgePolicies): void {
  const { method, headers } = subject;
  if (method !== 'GET') throw new GatewayError('BAD_REQUEST', 'A WebSocket is opened by GET');
  // RFC 6455 section 4.2.1: 16 bytes in base64.
  if (!/^[A-Za-z0-9+/]{22}==$/.test(String(headers['sec-websocket-key']))) {
    throw new GatewayError('BAD_REQUEST', 'A WebSocket handshake needs one Sec-WebSocket-Key of 16 bytes');
  }
  // A policy of the route has decided already.
  if (csrf !== null || upgrade?.anyOrigin === true || headers['cookie'] === undefined) return;
  if (headers['origin'] === undefined && headers['sec-fetch-site'] === undefined) return;
  assertOwnOrigin(subject, { has: (origin) => cors?.trusts(origin) === true });
}

/** Whether a 101 is the answer to this request (RFC 6455 section 4.1): a service may have been made to send one. */
export function isSwitched(asked: IncomingMessage, protocol: string, head: IncomingMessage): boolean {
  if (head.headers.upgrade?.toLowerCase() !== protocol) return false;
  if (protocol !== 'websocket') return true;
  const key = asked.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return head.headers['sec-websocket-accept'] === accept;
}

function asksForUpgrade(request: IncomingMessage): boolean {
  const { connection = '' } = request.headers;
  // RFC 9110 section 7.8: of a request in HTTP/1.0 it must be ignored.
  if (request.httpVersion !== '1.1' || !/(?:^|,)\s*upgrade\s*(?:,|$)/i.test(connection)) return false;
  return listProtocols(request).length > 0;
}

function listProtocols({ headers }: IncomingMessage): string[] {
  return (headers.upgrade ?? '')
    .toLowerCase()
    .split(',')
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== '' && !isTransport(protocol));
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** Whether an answer to an earlier request is still to be written on a connection: Node keeps it there. */
function isAnswering(socket: Socket): boolean {
  const { _httpMessage: response } = socket as Socket & { _httpMessage?: ServerResponse | null };
  return response !== undefined && response !== null;
}
