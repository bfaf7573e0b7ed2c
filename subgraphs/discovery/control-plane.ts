/**
 * HTTP to a control plane (Kubernetes, Consul, ...): bounded in time and size, never following a redirect, with
 * credentials and certificates that may rotate on disk.
 */
import { readFile } from 'node:fs/promises';
import { Agent, type Dispatcher } from 'undici';
import { parseJson, parseJsonLines } from './json-lines.ts';
import { DiscoveryError } from './provider.ts';

export interface ControlPlaneOptions {
  /** For messages: `Consul`. */
  readonly name: string;
  /** Base URL; a path in it goes before every path that is asked. */
  readonly url: string;
  /** Unix socket to connect to instead of the host of the URL. */
  readonly socketPath?: string | undefined;
  readonly caFile?: string | undefined;
  /** Asked for every request. */
  readonly headers?: () => Promise<Readonly<Record<string, string>>>;
}

export interface PlaneRequest {
  /** With its query. */
  readonly path: string;
  readonly signal: AbortSignal;
  /** Time for the whole answer; for a stream, after which it is ended. @default 10000 */
  readonly timeoutMs?: number;
  /** Sent as JSON with POST. */
  readonly body?: unknown;
  /** Statuses that are answers. @default 200 alone */
  readonly accept?: readonly number[];
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PlaneAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed JSON; null with any other status than 200. */
  readonly body: unknown;
}

export interface ControlPlane extends AsyncDisposable {
  ask(request: PlaneRequest): Promise<PlaneAnswer>;
  /** JSON values, one per line, until the control plane ends the stream or its time is over. */
  stream(request: PlaneRequest): AsyncGenerator<unknown>;
}

const maxAnswerBytes = 16_000_000;
const connectTimeoutMs = 3_000;
/** A stream begins at once, however long it is quiet afterwards. */
const streamHeadersTimeoutMs = 10_000;

/** A control plane that answered, but not with what was asked for. */
export class PlaneStatusError extends DiscoveryError {
  readonly status: number;

  constructor(name: string, status: number) {
    super(`${name} answered ${status}${statusHints[status] ?? ''}`);
    this.status = status;
  }
}

const statusHints: Readonly<Record<number, string>> = {
  401: ' (unauthorized: is the credential right?)',
  403: ' (forbidden: may this credential read it?)',
  404: ' (not found)',
  429: ' (too many requests)',
};

export function createControlPlane(options: ControlPlaneOptions): ControlPlane {
  const { name, socketPath, caFile } = options;
  const base = new URL(options.url);
  const prefix = base.pathname.replace(/\/+$/, '');
  const retired = new Set<Agent>();
  let agent: Agent | undefined;
  let knownCa: string | undefined;

  /** The agent for the certificates as they are now. Requests under way end on the agent that they began with. */
  async function currentAgent(): Promise<Agent> {
    const ca = caFile === undefined ? undefined : await readCredential(name, caFile);
    if (agent !== undefined && ca === knownCa) return agent;
    const outdated = agent;
    knownCa = ca;
    agent = new Agent({ connect: { ...(ca && { ca }), ...(socketPath && { socketPath }), timeout: connectTimeoutMs } });
    if (outdated !== undefined) {
      retired.add(outdated);
      void outdated.close().finally(() => retired.delete(outdated));
    }
    return agent;
  }

  async function send(
    request: PlaneRequest,
    signal: AbortSignal,
    headersTimeoutMs: number,
  ): Promise<Dispatcher.ResponseData> {
    const { path, body, accept = [200] } = request;
    const headers = { accept: 'application/json', ...(await options.headers?.()), ...request.headers };
    const dispatcher = await currentAgent();
    const answer = await dispatcher.request({
      origin: base.origin,
      path: `${prefix}${path}`,
      method: body === undefined ? 'GET' : 'POST',
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal,
      // The signal bounds the whole; undici's own limits would cut long polls and quiet streams.
      headersTimeout: headersTimeoutMs,
      bodyTimeout: 0,
    });
    if (accept.includes(answer.statusCode)) return answer;
    await answer.body.dump({ limit: 65_536, signal }).catch(() => {});
    throw new PlaneStatusError(name, answer.statusCode);
  }

  return {
    async ask(request) {
      const timeout = AbortSignal.timeout(request.timeoutMs ?? 10_000);
      try {
        const answer = await send(request, AbortSignal.any([request.signal, timeout]), 0);
        const text = await readText(name, answer.body);
        const body = answer.statusCode === 200 ? parseJson(name, text) : null;
        return { status: answer.statusCode, headers: answer.headers, body };
      } catch (error) {
        throw timeout.aborted && !request.signal.aborted ? new DiscoveryError(`${name} did not answer in time`) : error;
      }
    },

    async *stream(request) {
      const timeout = AbortSignal.timeout(request.timeoutMs ?? 10_000);
      try {
        const answer = await send(request, AbortSignal.any([request.signal, timeout]), streamHeadersTimeoutMs);
        yield* parseJsonLines(name, answer.body);
      } catch (error) {
        // The end of its time is the end of a stream, not a failure.
        if (!timeout.aborted || request.signal.aborted) throw error;
      }
    },

    async [Symbol.asyncDispose]() {
      const agents = [...retired, ...(agent === undefined ? [] : [agent])];
      agent = undefined;
      await Promise.all(agents.map((one) => one.destroy()));
    },
  };
}

async function readText(name: string, body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > maxAnswerBytes) throw new DiscoveryError(`${name} answered with more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What a file of credentials holds now. The message names the kind of failure, not the file. */
export async function readCredential(name: string, file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new DiscoveryError(`a credential for ${name} cannot be read`, { cause });
  }
}
