/** Defences against clients that send or read too slowly, and a patient end for those whose answer came early. */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { GatewayError } from '../policies/errors.ts';
import type { ClientConnections } from './client-connection.ts';
import { Http2Request } from './http2-messages.ts';

/** What a client must send of a body in the time that it may be idle. */
const leastProgressBytes = 1_024;
/** How long, and how much, is read of a body that nobody wants any more. */
const lingerMs = 2_000;
const maxLingerBytes = 16_777_216;

export interface ClientPaceOptions {
  readonly clientIdleMs: number;
  readonly connections: ClientConnections;
  readonly onSlow: (kind: 'body' | 'reader') => void;
}

/** Cuts off clients that read nothing of what waits for them. */
export function cutIdleReaders(server: Server, { clientIdleMs, connections, onSlow }: ClientPaceOptions): void {
  server.timeout = clientIdleMs;
  server.on('timeout', (socket: Socket) => {
    const { exchanges } = connections.of(socket);
    // Node counts as progress that a write went on, so what is left here did not move.
    if (socket.writableLength > 0) {
      onSlow('reader');
      cutOff(socket);
    } else if (exchanges.length === 0) socket.destroy();
    // The service takes its time, or a stream has no events: its own limits hold.
    else socket.setTimeout(clientIdleMs);
  });
}

/** Ends a connection at once, with what waits to be read on it. Node resets none that is below TLS, and throws. */
export function cutOff(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}

/** Holds the body of a request to a pace, until it has ended. */
export interface UploadWatch {
  /** Another time than that of all clients; infinity for any. */
  setIdleMs(idleMs: number): void;
}

/** Watches the body of a request until it has ended. `fail` is called at most once. */
export function watchUpload(
  request: IncomingMessage,
  { clientIdleMs, onSlow }: ClientPaceOptions,
  fail: (error: GatewayError) => void,
): UploadWatch {
  const { socket } = request;
  // A connection of HTTP/2 may be busy with other requests.
  const countBytes = (): number => (request instanceof Http2Request ? request.receivedBytes : socket.bytesRead);
  let seenBytes = countBytes();
  let timer: NodeJS.Timeout | undefined;
  const check = (): void => {
    if (request.complete || request.destroyed) {
      clearInterval(timer);
      return;
    }
    const bytes = countBytes();
    // What is here and was not taken says that the service is slow, not the client.
    const isRead = request.listenerCount('readable') + request.listenerCount('data') > 0;
    const isClientsTurn = isRead && request.readableLength === 0;
    const moved = bytes - seenBytes;
    seenBytes = bytes;
    if (!isClientsTurn || moved >= leastProgressBytes) return;
    clearInterval(timer);
    onSlow('body');
    fail(new GatewayError('REQUEST_TIMEOUT', 'The body of the request came too slowly'));
  };
  const setIdleMs = (idleMs: number): void => {
    clearInterval(timer);
    timer = Number.isFinite(idleMs) ? setInterval(check, idleMs).unref() : undefined;
  };
  setIdleMs(clientIdleMs);
  request.once('close', () => clearInterval(timer));
  return { setIdleMs };
}

/**
 * Node closes a connection as soon as an answer that ends it is written. Where the client still sends its body, the
 * kernel would answer that with a reset, and the client might never read the answer (RFC 9112 section 9.6).
 */
export function lingerAtEnd(request: IncomingMessage): void {
  // HTTP/2 says that the rest is not wanted, and its connection goes on (see Http2Response).
  if (request instanceof Http2Request) return;
  const { socket } = request;
  const destroySoon = socket.destroySoon.bind(socket);
  socket.destroySoon = () => {
    if (request.complete || socket.destroyed) return destroySoon();
    const endBytes = socket.bytesRead + maxLingerBytes;
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    // Node forgets a request whose answer is written: without this the call behind it would wait for the rest for ever.
    socket.once('close', () => {
      clearTimeout(timer);
      request.destroy();
    });
    socket.end();
    request.unpipe();
    request.on('data', () => {
      if (socket.bytesRead > endBytes) socket.destroy();
    });
    request.once('end', () => socket.destroy());
    request.on('error', ignore);
    request.resume();
  };
}

function ignore(): void {}
