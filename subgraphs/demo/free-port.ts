/** Ports for the processes of the demo. */

import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';

const triedPorts = 200;

/** The first free port from `preferred` on, leaving out those in `taken`; any free one for 0. Adds it to `taken`. */
export async function findFreePort(preferred: number, host: string, taken: Set<number>): Promise<number> {
  const last = preferred === 0 ? 0 : Math.min(65_535, preferred + triedPorts);
  for (let port = preferred; port <= last; port++) {
    if (port !== 0 && taken.has(port)) continue;
    const found = await tryPort(port, host);
    if (found === null || taken.has(found)) continue;
    taken.add(found);
    return found;
  }
  return await findFreePort(0, host, taken);
}

/** The port when it could be opened, or null. It is closed again: between here and its use somebody may take it. */
async function tryPort(port: number, host: string): Promise<number | null> {
  const server = createServer();
  try {
    await listen(server, port, host);
    return (server.address() as AddressInfo).port;
  } catch {
    return null;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
}
