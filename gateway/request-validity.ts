/** Refuses requests that are not valid, or tells of them. */
import { type ErrorCode, GatewayError, type RequestMistake } from '../policies/errors.ts';
import type { SchemaValidator } from '../policies/json-schema.ts';
import { parseJson, TextMistake } from '../policies/json-text.ts';
import type { RequestPlan, RequestValidation } from '../policies/request-validation.ts';
import type { IncomingExchange } from './route-messages.ts';
import { isEmpty } from './whole-body.ts';

/** A message that is not what its route asks for. Places and messages hold no values of it. */
export interface InvalidMessage {
  readonly route: string;
  readonly of: 'request' | 'answer';
  /** Whether it is refused; else it passes. */
  readonly mode: RequestValidation['mode'];
  /** What it is refused with, or would be; of requests that pass without their document, SERVICE_UNAVAILABLE. */
  readonly code: ErrorCode;
  readonly mistakes: readonly { readonly in: string; readonly pointer: string; readonly message: string }[];
}

/** Hears of every message that is not valid, refused or not. */
export type InvalidListener = (message: InvalidMessage) => void;

/** What is wrong with a body, before it is looked into. */
const ofForm: ReadonlySet<ErrorCode> = new Set(['BAD_REQUEST', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE']);

/** Does something with a body that is to be validated, and tells when it is refused for its form. */
export async function tellRefusal<T>(
  validation: RequestValidation | null,
  { onInvalid, label }: IncomingExchange,
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (validation !== null && error instanceof GatewayError && ofForm.has(error.code)) {
      onInvalid({ route: label, of: 'request', mode: 'enforce', code: error.code, mistakes: [ofBody(error.message)] });
    }
    throw error;
  }
}

/** All but the body, before a byte of that is read. */
export function assertValidHead(validation: RequestValidation, plan: RequestPlan, exchange: IncomingExchange): void {
  const { request } = exchange;
  judge(validation, exchange, plan.mistakes);
  const type = request.headers['content-type'];
  if (isEmpty(request) || plan.bodies.every(({ find }) => find(type) !== null)) return;
  if (validation.mode === 'enforce') {
    throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'This path takes no bodies of this type');
  }
  judge(validation, exchange, [ofBody('is of another type by its Content-Type')], 'UNSUPPORTED_MEDIA_TYPE');
}

/** A body that was read; undefined for one that streams. */
export function assertValidBody(
  validation: RequestValidation,
  { bodies }: RequestPlan,
  exchange: IncomingExchange,
  body: Buffer | null | undefined,
): void {
  for (const { required, find } of bodies) {
    if (body === null || (body === undefined && isEmpty(exchange.request))) {
      if (required) judge(validation, exchange, [ofBody('is missing')]);
      continue;
    }
    const validator = find(exchange.request.headers['content-type']);
    if (body === undefined || validator === null || validator === 'any') continue;
    const { mistakes, code } = findBodyMistakes(validation, validator, body);
    judge(validation, exchange, mistakes, code);
  }
}

function findBodyMistakes(
  { mode }: RequestValidation,
  validator: SchemaValidator,
  body: Buffer,
): { readonly mistakes: readonly RequestMistake[]; readonly code?: ErrorCode } {
  try {
    return { mistakes: validator.validate(parseJson(body, false)).map((error) => ({ in: 'body', ...error })) };
  } catch (error) {
    if (!(error instanceof TextMistake)) throw error;
    if (mode === 'log') return { mistakes: [ofBody('is no JSON')], code: 'BAD_REQUEST' };
    throw new GatewayError('BAD_REQUEST', error.message, { cause: error });
  }
}

function ofBody(message: string): RequestMistake {
  return { in: 'body', pointer: '', message };
}

function judge(
  { mode }: RequestValidation,
  { onInvalid, label }: IncomingExchange,
  mistakes: readonly RequestMistake[],
  code: ErrorCode = 'VALIDATION_FAILED',
): void {
  if (mistakes.length === 0) return;
  onInvalid({ route: label, of: 'request', mode, code, mistakes });
  if (mode === 'enforce') throw new GatewayError(code, undefined, { mistakes });
}
