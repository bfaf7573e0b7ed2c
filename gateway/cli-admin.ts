/** The admin API as the command line asks it: plain words and an exit code for whatever goes wrong. */
import type { ErrorReason } from '../policies/errors.ts';
import { buildAuthorization, isReason } from '../subgraphs/client-request.ts';
import { field, fieldList, fieldText } from './cli-text.ts';

/** Exit codes of the commands that talk to a gateway. */
export const exitCodes = { ok: 0, refused: 1, usage: 2, unreachable: 3 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What a command ends with when it cannot do its work. */
export class CliFailure extends Error {
  readonly exitCode: ExitCode;
  readonly reasons: readonly ErrorReason[];
  /** For `--json`: the problem document of the gateway, or one of the same form. */
  readonly problem: unknown;

  constructor(exitCode: ExitCode, message: string, reasons: readonly ErrorReason[] = [], problem?: unknown) {
    super(message);
    this.exitCode = exitCode;
    this.reasons = reasons;
    this.problem = problem ?? { code: exitCode === exitCodes.usage ? 'USAGE' : 'UNREACHABLE', detail: message };
  }
}

export interface AdminAnswer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly text: string;
  /** The parsed answer; undefined when it is no JSON. */
  readonly body: unknown;
}

export interface AdminRequestOptions {
  readonly body?: unknown;
  readonly ifMatch?: string | undefined;
  /** Statuses that are an answer although they are errors. */
  readonly accept?: readonly number[];
}

/** Asks. Throws a {@link CliFailure} for everything but success. */
export type AdminCall = (method: string, path: string, options?: AdminRequestOptions) => Promise<AdminAnswer>;

export interface AdminConnection {
  readonly admin: string;
  readonly token: string | undefined;
}

/** A composition of hundreds of services takes its time, and so do instances that are asked for a schema and hang. */
const patienceMs = 60_000;

/** Checks where to and as whom, before anything is asked. */
export function parseConnection(admin: string, token: string | undefined): AdminConnection {
  if (admin.includes(','))
    throw new CliFailure(exitCodes.usage, 'Several gateways are named; say which one with --admin');
  if (!URL.canParse(admin) || !/^https?:$/.test(new URL(admin).protocol)) {
    throw new CliFailure(exitCodes.usage, '--admin must be a URL such as http://127.0.0.1:4001');
  }
  const { username, password, search, hash, origin, pathname } = new URL(admin);
  if (username !== '' || password !== '') {
    throw new CliFailure(exitCodes.usage, '--admin must hold no credentials; the token goes into SELVAGE_TOKEN');
  }
  if (search !== '' || hash !== '') throw new CliFailure(exitCodes.usage, '--admin must have no query and no fragment');
  try {
    buildAuthorization(token);
  } catch {
    throw new CliFailure(exitCodes.usage, 'The token holds characters that no header may have');
  }
  return { admin: `${origin}${pathname}`.replace(/\/+$/, ''), token };
}

/** Calls that change something carry the reason, where one is given. */
export function createAdminCall({ admin, token }: AdminConnection, reason?: string): AdminCall {
  return async (method, path, { body, ifMatch, accept = [] } = {}) => {
    const url = new URL(admin + path);
    if (reason !== undefined && method !== 'GET') url.searchParams.set('reason', reason);
    const answer = await ask(admin, url.href, {
      method,
      headers: {
        ...buildAuthorization(token),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'manual', // the token is for this address only
      signal: AbortSignal.timeout(patienceMs),
    });
    if ((answer.status >= 200 && answer.status < 300) || accept.includes(answer.status)) return answer;
    throw explain(admin, answer);
  };
}

async function ask(admin: string, url: string, init: RequestInit): Promise<AdminAnswer> {
  try {
    const response = await fetch(url, init);
    const text = await response.text();
    return { status: response.status, etag: response.headers.get('etag') ?? undefined, text, body: parseJson(text) };
  } catch (error) {
    throw new CliFailure(exitCodes.unreachable, `Cannot reach the gateway at ${admin}: ${describeCause(error)}`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What the problem document says (RFC 9457), or that there is none. */
function explain(admin: string, { status, body }: AdminAnswer): CliFailure {
  const detail = fieldText(body, 'detail');
  if (detail === '' || field(body, 'code') === undefined) {
    const message = `${admin} answered ${status}, and not as the admin port of a Selvage gateway does`;
    return new CliFailure(status >= 500 ? exitCodes.unreachable : exitCodes.refused, message, [], {
      code: 'NOT_SELVAGE',
      detail: message,
      status,
    });
  }
  // Not a no, but a not now: the store is away, or there is too much to do.
  const isPassing = status >= 500 || status === 429;
  const wait = fieldText(body, 'retryAfter');
  const advice = isPassing && wait !== '' ? ` (try again in ${wait} s)` : '';
  const reasons = fieldList(body, 'reasons').filter(isReason);
  return new CliFailure(isPassing ? exitCodes.unreachable : exitCodes.refused, `${detail}${advice}`, reasons, body);
}

const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  UND_ERR_CONNECT_TIMEOUT: 'it does not answer',
};

/** In words. Never the message of an error that could quote a header. */
function describeCause(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${patienceMs / 1_000} s`;
  const cause = error instanceof Error ? error.cause : undefined;
  const code = fieldText(cause, 'code');
  if (fieldText(cause, 'message') === 'bad port') return 'browsers and fetch use no such port';
  return causes[code] ?? (code !== '' ? code : 'the request failed');
}
