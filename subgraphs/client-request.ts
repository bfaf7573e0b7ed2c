/** What the client library asks a gateway, and what it makes of the answer. Anything may stand at the other end. */
import type { ErrorReason } from '../policies/errors.ts';

/** A bearer token; a function is asked before every request, for tokens that are renewed while the service runs. */
export type TokenSource = string | (() => string | undefined | Promise<string | undefined>);

/** What came of a request. */
export type Answer =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly message: string;
      readonly reasons: readonly ErrorReason[];
      /** How long the gateway asks to be left alone (RFC 9110 section 10.2.3). */
      readonly retryAfterMs?: number;
    }
  | { readonly kind: 'failed'; readonly cause: unknown };

export interface AskOptions {
  readonly admin: string;
  readonly token: TokenSource | undefined;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
}

/** Time for one request. */
export const requestTimeoutMs = 5_000;

/** Asks one gateway. Never rejects. */
export type Ask = (method: string, path: string, body?: unknown, timeoutMs?: number) => Promise<Answer>;

export function createAsk({ admin, token, fetch }: AskOptions): Ask {
  return async (method, path, body, timeoutMs = requestTimeoutMs) => {
    try {
      const response = await fetch(admin + path, {
        method,
        headers: {
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...buildAuthorization(typeof token === 'function' ? await token() : token),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        redirect: 'manual', // the token is for this address only
        signal: AbortSignal.timeout(timeoutMs),
      });
      return readAnswer(response, await response.text());
    } catch (cause) {
      return { kind: 'failed', cause };
    }
  };
}

/** The header of a token. Throws without naming it: a `fetch` that refuses a header quotes its value. */
export function buildAuthorization(token: string | undefined): { readonly authorization?: string } {
  const trimmed = token?.trim() ?? ''; // a token out of a file often ends with a line break
  if (trimmed === '') return {};
  if (!/^[!-~]+$/.test(trimmed)) throw new TypeError('the token holds characters that no header may have');
  return { authorization: `Bearer ${trimmed}` };
}

export function isGood(answer: Answer): boolean {
  return answer.kind === 'answered' && answer.status >= 200 && answer.status < 300;
}

/** 410 says the same as 404 (RFC 9110 section 15.5.11), only more surely. */
export function isUnknown(answer: Answer): boolean {
  return answer.kind === 'answered' && (answer.status === 404 || answer.status === 410);
}

export function isConflict(answer: Answer): boolean {
  return answer.kind === 'answered' && answer.status === 409;
}

/** Whether the gateway could not do it now, which says nothing about the request itself. */
export function isIll(answer: Answer): boolean {
  return answer.kind === 'answered' && (answer.status >= 500 || answer.status === 408 || answer.status === 429);
}

/** The answer, with what a problem document (RFC 9457) says in it. */
function readAnswer(response: Response, text: string): Answer {
  const problem = parseObject(text);
  const message = problem['detail'] ?? problem['title'];
  const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'));
  return {
    kind: 'answered',
    status: response.status,
    message: typeof message === 'string' ? message : `status ${response.status}`,
    reasons: Array.isArray(problem['reasons']) ? problem['reasons'].filter(isReason) : [],
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

export function isReason(value: unknown): value is ErrorReason {
  return typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string';
}

/** Seconds or a date. */
export function parseRetryAfter(value: string | null, now: number = Date.now()): number | undefined {
  if (value === null) return undefined;
  const delayMs = /^\d+$/.test(value.trim()) ? Number(value) * 1_000 : Date.parse(value) - now;
  return Number.isFinite(delayMs) && delayMs > 0 ? delayMs : undefined;
}
