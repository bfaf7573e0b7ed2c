/** Draining a server in bounded steps: nothing in flight is cut before its time, and nothing waits for ever. */
import type { Server } from 'node:http';
import { Server as NetServer } from 'node:net';

export interface DrainOptions {
  /** Between becoming unready and refusing connections, for load balancers in front to notice. */
  readonly delayMs: number;
  /** For requests in flight, after which their connections are cut. */
  readonly graceMs: number;
  /**
   * Where others serve the same port: time in which open connections may carry one more request, whose answer closes
   * them. A client that sends just as its idle connection is closed would have to send again, and may not dare. @default 0
   */
  readonly handOverMs?: number;
}

/** What became of the requests in flight. */
export type DrainOutcome = 'drained' | 'cut';

/**
 * Drains a server: waits `delayMs` while it goes on serving, closes the port, lets connections be used once more for
 * `handOverMs`, closes idle ones, waits for the busy ones at most `graceMs`, then cuts. `onClosed`: the port is closed;
 * connections that have left HTTP are none that the server knows, and have to end within the time given.
 */
export async function drainServer(
  server: Server,
  options: DrainOptions,
  onClosed: (withinMs: number) => Promise<void> = async () => {},
): Promise<DrainOutcome> {
  const { delayMs, graceMs, handOverMs = 0 } = options;
  if (!server.listening) return 'drained';
  if (delayMs > 0) await pause(delayMs);
  const closed = new Promise<void>((resolve) => server.once('close', resolve));
  // Not the close of http: that would cut idle connections at once.
  NetServer.prototype.close.call(server);
  // Their ends are heard of later than the server counts them out.
  const left = onClosed(handOverMs + graceMs);
  if (handOverMs > 0) {
    server.prependListener('request', (_request, response) => {
      response.shouldKeepAlive = false;
    });
    await Promise.race([closed, pause(handOverMs)]);
  }
  server.closeIdleConnections();
  let outcome: DrainOutcome = 'drained';
  const cut = setTimeout(() => {
    outcome = 'cut';
    server.closeAllConnections();
  }, graceMs);
  // A connection that becomes idle after its last answer keeps `close` waiting until its keep-alive time is over.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  await Promise.all([closed, left]);
  clearTimeout(cut);
  clearInterval(sweep);
  return outcome;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
