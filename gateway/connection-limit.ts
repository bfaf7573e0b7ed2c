/** How many connections clients may have, and have. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { ClientMetrics } from './metrics-clients.ts';

/** Not in the types yet; see `net.Server` in the documentation of Node. */
interface Droppable {
  dropMaxConnection: boolean;
}

/** Closes what is more than `maxConnections` (0: any number) as it comes, and tells of all. */
export function limitConnections(server: Server, maxConnections: number, metrics: ClientMetrics): void {
  if (maxConnections > 0) {
    server.maxConnections = maxConnections;
    // Else a worker that is full hands what it is given back to the primary, which hands it to the next: with all of them
    // full, round and round for as long as the client waits.
    Object.assign(server, { dropMaxConnection: true } satisfies Droppable);
    server.on('drop', metrics.observeRefused);
  }
  server.on('connection', (socket: Socket) => {
    metrics.observeConnections(1);
    socket.once('close', () => metrics.observeConnections(-1));
  });
}
