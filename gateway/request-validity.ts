/** Refuses requests that are not valid, or tells of them. */
import { GatewayError, type RequestMistake } from '../policies/errors.ts';
import type { SchemaValidator } from '../policies/json-schema.ts';
import { parseJson, TextMistake } from '../policies/json-text.ts';
import type { RequestValidation } from '../policies/request-validation.ts';
import { isJsonType } from '../policies/transform.ts';
import type { IncomingExchange } from './route-messages.ts';
import { bodyMethods, isEmpty } from './whole-body.ts';

/** Hears of every request that is not valid, refused or not. Places and messages hold no values of the request. */
export type InvalidListener = (
  route: string,
  mode: RequestValidation['mode'],
  mistakes: readonly RequestMistake[],
) => void;

/** All but the body, before a byte of that is read. */
export function assertValidHead(
  validation: RequestValidation,
  exchange: IncomingExchange,
  params: Readonly<Record<string, string>>,
): void {
  const { request, target } = exchange;
  judge(validation, exchange, validation.validateHead({ query: target.query, headers: request.headers, params }));
  if (validation.body === null || isEmpty(request) || isJsonType(request.headers['content-type'])) return;
  if (validation.mode === 'log') judge(validation, exchange, [ofBody('is no JSON by its Content-Type')]);
  else throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'This path takes bodies of JSON only');
}

/** A body that was read; undefined for one that streams. */
export function assertValidBody(
  validation: RequestValidation,
  exchange: IncomingExchange,
  body: Buffer | null | undefined,
): void {
  if (validation.body === null || body === undefined) return;
  if (body === null) {
    if (bodyMethods.has(exchange.context.method)) judge(validation, exchange, [ofBody('is missing')]);
    return;
  }
  const mistakes = findBodyMistakes(validation, validation.body, body);
  judge(validation, exchange, mistakes);
}

function findBodyMistakes(
  { mode }: RequestValidation,
  validator: SchemaValidator,
  body: Buffer,
): readonly RequestMistake[] {
  try {
    return validator.validate(parseJson(body, false)).map((error) => ({ in: 'body', ...error }));
  } catch (error) {
    if (!(error instanceof TextMistake)) throw error;
    if (mode === 'log') return [ofBody('is no JSON')];
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
): void {
  if (mistakes.length === 0) return;
  onInvalid(label, mode, mistakes);
  if (mode === 'enforce') throw new GatewayError('VALIDATION_FAILED', undefined, { mistakes });
}
