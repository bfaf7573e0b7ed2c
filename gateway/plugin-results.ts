/** What plugins answer, checked before anything is done with it. Each throws a TypeError for what is no such result. */
import { type ErrorCode, errorKinds, GatewayError } from '../policies/errors.ts';
import type { PluginAnswer, PluginRefusal } from './plugin.ts';
import { type HeaderChange, parseAnswerChanges } from './plugin-headers.ts';

/** An answer that can be written as it stands. */
export interface ReadyAnswer {
  readonly status: number;
  readonly headers: readonly HeaderChange[];
  readonly body: string | Uint8Array;
}

/** A result as an object, with nothing but what the hook may say. */
export function parseResult(given: unknown, allowed: readonly string[]): Readonly<Record<string, unknown>> | undefined {
  if (given === undefined) return undefined;
  if (typeof given !== 'object' || given === null) throw new TypeError('a result is undefined or an object');
  const unknown = Object.keys(given).filter((key) => !allowed.includes(key));
  if (unknown.length > 0) throw new TypeError(`${unknown.join(', ')}: this hook can say ${allowed.join(', ')}`);
  return given as Readonly<Record<string, unknown>>;
}

export function parseAnswer(given: unknown): ReadyAnswer | undefined {
  if (given === undefined) return undefined;
  const { status, headers, body = '' } = given as PluginAnswer;
  if (!isStatus(status, 200)) throw new TypeError('the status of an answer must be from 200 to 599');
  if (typeof body !== 'string' && !(body instanceof Uint8Array))
    throw new TypeError('the body of an answer must be a string or a Uint8Array');
  return { status, headers: parseAnswerChanges(headers), body };
}

export function parseRefusal(given: unknown): GatewayError | undefined {
  if (given === undefined) return undefined;
  const { code = 'FORBIDDEN', status = 403, message } = given as PluginRefusal;
  if (typeof message !== 'string') throw new TypeError('a refusal needs a message');
  if (typeof code !== 'string' || !/^[A-Z][A-Z0-9_]{0,62}$/.test(code))
    throw new TypeError('the code of a refusal must be like those of errors: A_CODE');
  if (Object.hasOwn(errorKinds, code)) return new GatewayError(code as ErrorCode, message);
  if (!isStatus(status, 400)) throw new TypeError('the status of a refusal must be from 400 to 599');
  return new GatewayError('FORBIDDEN', message, { shownAs: { code, status } });
}

function isStatus(status: unknown, least: number): status is number {
  return Number.isInteger(status) && Number(status) >= least && Number(status) <= 599;
}
