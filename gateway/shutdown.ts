/** Draining a server in bounded steps: nothing in flight is cut before its time, and nothing waits for ever. */
import type { Server } from 'node:http';

export interface DrainOptions {
  /** Between becoming unready and refusing connections, for load balancers in front to notice. */
  readonly delayMs: number;
  /** For requests in flight, after which their connections are cut. */
  readonly graceMs: number;
}

/** What became of the requests in flight. */
export type DrainOutcome = 'drained' | 'cut';

/**
 * Drains a server: waits `delayMs` while it goes on serving, closes the port and idle connections, waits for the busy
 * ones at most `graceMs`, then cuts.
 */
export async function drainServer(server: Server, options: DrainOptions): Promise<DrainOutcome> {
  if (!server.listening) return 'drained';
  if (options.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, options.delayMs));
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  let outcome: DrainOutcome = 'drained';
  const cut = setTimeout(() => {
    outcome = 'cut';
    server.closeAllConnections();
  }, options.graceMs);
  // A connection that becomes idle after its last answer keeps `close` waiting until its keep-alive time is over.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  await closed;
  clearTimeout(cut);
  clearInterval(sweep);
  return outcome;
}
