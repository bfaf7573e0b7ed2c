/** What a GraphQL answer is as an answer of REST: what was selected, or a status that says why it could not be had. */
import { hash } from 'node:crypto';
import { type ErrorCode, errorKinds, GatewayError } from '../policies/errors.ts';
import { isNotModified } from '../policies/http-conditions.ts';
import type { GraphRoute } from './graph-route-options.ts';
import { parsePointer, readPointer } from './json-pointer.ts';
import { type OwnExchange, sendEmpty, sendWhole } from './own-answer.ts';
import type { OwnOutcome } from './own-routes.ts';
import { partialHeader } from './partial-answer.ts';
import type { PlainAnswer } from './plain-operation.ts';

interface GraphqlError {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  readonly extensions?: { readonly code?: string; readonly service?: string; readonly retryAfter?: number };
}

/** Codes that services use by custom, and that are none of ours. */
const customStatuses: Readonly<Record<string, number>> = {
  BAD_USER_INPUT: 400,
  UNAUTHORIZED: 401,
  ALREADY_EXISTS: 409,
};

/** Answers with the result of the pipeline. */
export async function answerResult(
  { body, headers }: PlainAnswer,
  options: GraphRoute,
  exchange: OwnExchange,
): Promise<OwnOutcome> {
  const { context, request } = exchange;
  const { data, errors = [] } = JSON.parse(body) as { readonly data?: unknown; readonly errors?: GraphqlError[] };
  const keys = parsePointer(options.select ?? '');
  const selected = readPointer(data, keys) ?? null;
  const passed = passHeaders(headers);
  if (context.serviceHeaders !== undefined) passed.push(...context.serviceHeaders.merge());
  const [first] = errors;
  if (selected === null) {
    const cause = errors.find(({ path = [] }) =>
      path.every((key, index) => index >= keys.length || String(key) === keys[index]),
    );
    throw buildRefusal(cause ?? first, options);
  }
  // What one saw is not what another may see.
  const lifetime = errors.length > 0 ? 'no-store' : 'private, no-cache';
  const missing = errors.map(({ path = [], extensions }) => ({
    part: path.join('.') || 'data',
    code: extensions?.code ?? 'DOWNSTREAM_SERVICE_ERROR',
  }));
  const text = JSON.stringify(selected);
  const own = [...passed, ...partialHeader(missing)];
  if (!hasName(own, 'cache-control')) own.push('cache-control', lifetime);
  const isRead = context.method === 'GET' || context.method === 'HEAD';
  if (isRead && errors.length === 0) {
    const etag = `W/"${hash('sha256', text, 'base64url').slice(0, 27)}"`;
    own.push('etag', etag);
    if (isNotModified({ 'if-none-match': request.headers['if-none-match'] }, { etag })) {
      return sendEmpty(exchange, 304, own);
    }
  }
  const outcome = await sendWhole(exchange, options.status ?? 200, [...own, 'content-type', 'application/json'], text);
  return errors.length > 0 ? 'partial' : outcome;
}

function buildRefusal(error: GraphqlError | undefined, { errors = {} }: GraphRoute): GatewayError {
  if (error === undefined) return new GatewayError('NOT_FOUND', 'There is no such thing');
  const { code = 'DOWNSTREAM_SERVICE_ERROR', service, retryAfter } = error.extensions ?? {};
  const status = statusOf(code, errors);
  const options = { service, retryAfterSeconds: retryAfter };
  if (isErrorCode(code) && errorKinds[code].status === status) return new GatewayError(code, error.message, options);
  return new GatewayError('DOWNSTREAM_SERVICE_ERROR', error.message, { ...options, shownAs: { code, status } });
}

function statusOf(code: string, configured: Readonly<Record<string, number>>): number {
  if (Object.hasOwn(configured, code)) return configured[code] ?? 502;
  if (isErrorCode(code)) return errorKinds[code].status;
  return (Object.hasOwn(customStatuses, code) ? customStatuses[code] : undefined) ?? 502;
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorKinds, code);
}

/** Of what the pipeline says, all but what is about its own form. */
function passHeaders(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    /^content-(type|length)$/i.test(name) ? [] : [name, value],
  );
}

function hasName(headers: readonly string[], name: string): boolean {
  return headers.some((entry, index) => index % 2 === 0 && entry.toLowerCase() === name);
}
