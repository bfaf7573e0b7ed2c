/** One request of a client, from its first byte to the end of its answer, whatever that end is. */
import { type Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import type { Readable } from 'node:stream';
import { Violation } from './world.ts';

export interface Exchange {
  readonly url: string;
  /** False: a connection of its own. */
  readonly agent: Agent | false;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Readable | string;
  /** For every piece of the answer's body. What it resolves with is waited for: a slow reader. */
  readonly onPiece: (piece: Buffer, status: number) => void | Promise<void>;
  /** The client leaves after so many milliseconds. */
  readonly leaveAfterMs?: number | undefined;
}

export interface Ending {
  /** 0: there was no answer. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly isComplete: boolean;
  /** Whether it was the client that left. */
  readonly hasLeft: boolean;
  readonly error: string;
}

/** Never rejects but for violations of HTTP. */
export function exchange({
  url,
  agent,
  method = 'GET',
  headers = {},
  body,
  onPiece,
  leaveAfterMs,
}: Exchange): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent, method, headers });
    let hasLeft = false;
    let status = 0;
    let heard: IncomingHttpHeaders = {};
    const leave = leaveAfterMs === undefined ? undefined : setTimeout(depart, leaveAfterMs);
    function depart(): void {
      hasLeft = true;
      asked.destroy();
    }
    function finish(isComplete: boolean, error = ''): void {
      clearTimeout(leave);
      if (body !== undefined && typeof body !== 'string') body.destroy();
      resolve({ status, headers: heard, isComplete, hasLeft, error });
    }
    asked.on('response', (response) => {
      status = response.statusCode ?? 0;
      heard = response.headers;
      readAll(response, (piece) => onPiece(piece, status)).then(finish, reject);
    });
    // Once there is an answer, its reader knows how it ends; the request may be over sooner.
    asked.on('error', (error) => status === 0 && finish(false, error.message));
    asked.on('close', () => status === 0 && finish(false, 'closed'));
    if (body === undefined || typeof body === 'string') asked.end(body);
    else body.on('error', () => {}).pipe(asked);
  });
}

async function readAll(response: IncomingMessage, onPiece: (piece: Buffer) => void | Promise<void>): Promise<boolean> {
  try {
    for await (const piece of response) await onPiece(piece as Buffer);
    return response.complete;
  } catch (error) {
    if (error instanceof Violation) throw error;
    return false;
  }
}
