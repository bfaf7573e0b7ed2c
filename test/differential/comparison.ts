/** Whether two answers are the same answer, as far as the specification of GraphQL leaves no choice. */
import { isDeepStrictEqual } from 'node:util';
import type { Answer, AnswerError } from './engines.ts';

export type Difference = 'data' | 'order of fields' | 'errors' | 'order of mutations';

export interface Truth {
  /** The answer of the whole graph. */
  readonly whole: Answer;
  /** Every error that there is to be found. */
  readonly lenient: Answer;
}

/** How an answer differs from the truth; null when it is right. */
export function findDifference(answer: Answer, { whole, lenient }: Truth): Difference | null {
  if (answer.text !== whole.text) return isDeepStrictEqual(answer.data, whole.data) ? 'order of fields' : 'data';
  if (!isDeepStrictEqual(answer.changes, whole.changes)) return 'order of mutations';
  return areErrorsRight(answer.errors, whole, lenient.errors) ? null : 'errors';
}

/** Same paths and codes, each as often. */
export function areSameErrors(some: readonly AnswerError[], others: readonly AnswerError[]): boolean {
  return isDeepStrictEqual(some.map(printError).sort(), others.map(printError).sort());
}

/**
 * Where several errors take away the same part of an answer, one of them has to be told, and it is free which (GraphQL
 * specification, section 6.4.4). Hence: none that there is not, none twice, and one for every part that is gone.
 */
function areErrorsRight(errors: readonly AnswerError[], whole: Answer, known: readonly AnswerError[]): boolean {
  const knownErrors = new Set(known.map(printError));
  const printed = errors.map(printError);
  if (new Set(printed).size !== printed.length || printed.some((error) => !knownErrors.has(error))) return false;
  return isDeepStrictEqual(listLosses(errors, whole.data), listLosses(whole.errors, whole.data));
}

/** Where in the data errors are felt: sorted, each place once. */
export function listLosses(errors: readonly AnswerError[], data: unknown): string[] {
  return [...new Set(errors.map(({ path }) => findLoss(path, data).join('/')))].sort();
}

/** The longest part of the path that is in the data: at its end there is null, or what the error could not take away. */
function findLoss(path: AnswerError['path'], data: unknown): AnswerError['path'] {
  let value = data;
  for (const [index, segment] of path.entries()) {
    if (typeof value !== 'object' || value === null) return path.slice(0, index);
    value = (value as Record<string | number, unknown>)[segment];
  }
  return path;
}

function printError({ path, code }: AnswerError): string {
  return `${path.join('/')} ${code}`;
}

/**
 * What is wrong with an answer while a service is down; null when nothing is. It may lack parts of the whole answer, each
 * with an error that says why; it must not have others.
 */
export function findPartialFault(answer: Answer, { whole, lenient }: Truth): string | null {
  const known = new Set(lenient.errors.map(printError));
  const strange = answer.errors.find((error) => error.code !== 'SERVICE_UNAVAILABLE' && !known.has(printError(error)));
  if (strange !== undefined) return `an error that has no cause: ${printError(strange)} ${strange.message}`;
  const printed = answer.errors.map(printError);
  const twice = printed.find((error, index) => printed.indexOf(error) !== index);
  if (twice !== undefined) return `an error twice: ${twice}`;
  const losses = new Set(listLosses(answer.errors, answer.data));
  return findUnexplained(answer.data, whole.data, '', losses);
}

function findUnexplained(part: unknown, whole: unknown, path: string, losses: ReadonlySet<string>): string | null {
  if (part === null && whole !== null)
    return losses.has(path) ? null : `nothing says why there is nothing: at "${path}"`;
  if (typeof part !== 'object' || part === null || typeof whole !== 'object' || whole === null) {
    // What is null on the whole may be there when the failure that made it so was not met.
    return part === whole || whole === null ? null : `another value: at "${path}"`;
  }
  const keys = Object.keys(part);
  if (!isDeepStrictEqual(keys, Object.keys(whole))) return `other fields or items: at "${path}"`;
  for (const key of keys) {
    const [some, all] = [part, whole].map((object) => (object as Record<string, unknown>)[key]);
    const fault = findUnexplained(some, all, path === '' ? key : `${path}/${key}`, losses);
    if (fault !== null) return fault;
  }
  return null;
}
