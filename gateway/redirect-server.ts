/** The port beside that of HTTPS: leads clients of plain HTTP on, and answers the challenges of a CA. */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { listen } from './listen.ts';
import type { RedirectOptions } from './listen-options.ts';
import type { Log } from './log.ts';
import { type DrainOptions, drainServer } from './shutdown.ts';

export interface OpenRedirectOptions extends RedirectOptions {
  readonly host: string;
  /** Base URL of HTTPS, with the port where the options name none. */
  readonly url: string;
  readonly covers: (host: string) => boolean;
  readonly log: Log;
}

/** Opens the port; it is closed when this is disposed. Rejects when it is taken. */
export async function openRedirect({ url, host, log, ...options }: OpenRedirectOptions): Promise<AsyncDisposable> {
  const server = createRedirectServer({ ...options, toPort: options.toPort ?? Number(new URL(url).port || 443) });
  log.info('redirecting to HTTPS', { url: await listen(server, { host, port: options.port }) });
  return {
    async [Symbol.asyncDispose]() {
      await drainServer(server, ending);
    },
  };
}

export interface RedirectServerOptions extends RedirectOptions {
  readonly toPort: number;
  /** Whether a certificate is for a host. */
  readonly covers: (host: string) => boolean;
}

const challenge = /^\/\.well-known\/acme-challenge\/([A-Za-z0-9_-]{1,128})$/;
/** A host with an optional port, in the characters of RFC 9110 section 7.2 that names have. */
const wellFormedHost = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
/** Nothing here has more to say. */
const maxHeaderBytes = 8_192;
const patienceMs = 10_000;
/** Whoever has connected as a worker leaves is about to ask: it is answered still. */
const ending: DrainOptions = { delayMs: 0, handOverMs: 200, graceMs: 1_000 };

/** Creates the server without listening. */
export function createRedirectServer(options: RedirectServerOptions): Server {
  const settings = {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: patienceMs,
    requestTimeout: patienceMs,
    requireHostHeader: false,
  };
  return createServer(settings, (request, response) => {
    answer(options, request, response).catch(() => response.destroy());
  });
}

async function answer(
  options: RedirectServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = request.url ?? '/';
  const [, token] = options.acmeChallenges === undefined ? [] : (challenge.exec(url) ?? []);
  if (token !== undefined) return answerChallenge(join(options.acmeChallenges ?? '', token), request, response);
  const [, host] = wellFormedHost.exec(request.headers.host ?? '') ?? [];
  if (host === undefined || !url.startsWith('/')) return end(response, 400);
  // Whoever may choose where an answer leads could have caches lead others there.
  if (!isAllowed(options, host)) return end(response, 421);
  const port = options.toPort === 443 ? '' : `:${options.toPort}`;
  response.setHeader('location', `https://${host}${port}${url}`);
  // RFC 9110 section 15.4.9: the method and the body stay.
  end(response, 308);
}

async function answerChallenge(file: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return end(response, 405);
  const text = await readFile(file).catch(() => null);
  if (text === null) return end(response, 404);
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': text.length });
  response.end(text);
}

function isAllowed({ hosts, covers }: RedirectServerOptions, host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, '');
  if (hosts === undefined) return covers(name);
  return hosts.some((one) =>
    one.startsWith('*.') ? name.slice(name.indexOf('.')) === one.slice(1).toLowerCase() : name === one.toLowerCase(),
  );
}

/** Bodies are not read: the connection ends with the answer. */
function end(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': 0, connection: 'close' });
  response.end();
}
