/** Clients that end their side of a connection as soon as they have asked, and wait for the answer (RFC 9112 section 9.6). */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { ClientConnection, ClientConnections } from './client-connection.ts';

const firstProbeMs = 100;
const longestProbeMs = 5_000;

/**
 * The end of a client's side looks the same whether it still listens or has left, and who has left must not keep a
 * service busy. So it is asked: whoever has left answers the bytes of an interim answer with a reset, and whoever
 * listens must be able to skip one (RFC 9110 section 15.2). HTTP/1.0 knows none: there the end means departure, and so
 * it does where the answer has begun.
 */
export function keepHalfClosed(server: Server, connections: ClientConnections): void {
  // Without this Node ends the connection as soon as the client does. Its types do not mention it.
  Object.assign(server, { httpAllowHalfOpen: true });
  const watch = (socket: Socket): void => {
    socket.on('end', () => {
      const connection = connections.of(socket);
      if (connection.exchanges.length > 0) probe(connection, socket, firstProbeMs);
    });
  };
  // With TLS requests come from the socket above the connection.
  server.on('connection', watch).on('secureConnection', watch);
}

function probe(connection: ClientConnection, socket: Socket, nextMs: number): void {
  const current = connection.exchanges[0];
  if (current === undefined || socket.destroyed) return;
  const { request, response } = current;
  if (nextMs === firstProbeMs && (response.headersSent || request.httpVersion === '1.0' || !request.complete)) {
    socket.destroy();
    return;
  }
  if (response.headersSent) return;
  response.writeInformation(100);
  setTimeout(probe, nextMs, connection, socket, Math.min(2 * nextMs, longestProbeMs)).unref();
}
