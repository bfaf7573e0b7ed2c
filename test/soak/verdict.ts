/** What an answer may be while services fail, and what it may not. */
import type { IncomingHttpHeaders } from 'node:http';
import { Violation } from './world.ts';

const outageCodes = new Set([
  'SERVICE_UNAVAILABLE',
  'CIRCUIT_BREAKER_OPEN',
  'DOWNSTREAM_SERVICE_ERROR',
  'GATEWAY_TIMEOUT',
  'OVERLOADED',
  'RATE_LIMIT_EXCEEDED',
]);

/** An answer other than 200, in a word. Throws when nothing in a soak explains it. */
export function judgeRefusal(status: number, headers: IncomingHttpHeaders, body: string, isGoing: boolean): string {
  if (status === 503 && headers['content-type'] === 'text/plain' && body === 'busy') return 'busy service';
  if (headers['content-type'] !== 'application/problem+json') {
    throw new Violation(`status ${status} with ${headers['content-type']}: ${body.slice(0, 200)}`);
  }
  const problem = parseJson(body) as { code?: unknown; status?: unknown };
  const code = String(problem.code);
  const isExpected = outageCodes.has(code) || (isGoing && code === 'ROUTE_NOT_FOUND');
  if (!isExpected || problem.status !== status) throw new Violation(`status ${status}: ${body.slice(0, 300)}`);
  return code;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Violation(`no JSON: ${text.slice(0, 200)}`);
  }
}

interface GraphqlBody {
  readonly data?: unknown;
  readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: unknown } }[];
}

/** A GraphQL answer in a word: all of it, or a part and errors that say why. */
export function judgeOperation(status: number, text: string, expected: unknown): string {
  const { data, errors = [] } = parseJson(text) as GraphqlBody;
  for (const { message, extensions } of errors) {
    if (!outageCodes.has(String(extensions?.code)))
      throw new Violation(`GraphQL error ${status} ${extensions?.code}: ${message}`);
  }
  if (errors.length === 0 && status !== 200) throw new Violation(`GraphQL status ${status} without errors`);
  const wrong = data == null ? null : findDifference(data, expected, errors.length > 0, 'data');
  if (wrong !== null) throw new Violation(`GraphQL answer differs at ${wrong}: ${text.slice(0, 300)}`);
  if (errors.length > 0) return String(errors[0]?.extensions?.code);
  if (data == null) throw new Violation('GraphQL answer without data and errors');
  return 'whole';
}

/** Where two values differ; nulls pass where errors explain them. */
function findDifference(actual: unknown, expected: unknown, mayLack: boolean, path: string): string | null {
  if (actual === null && mayLack) return null;
  if (typeof expected !== 'object' || expected === null) return actual === expected ? null : path;
  if (typeof actual !== 'object' || actual === null) return path;
  const [left, right] = [new Map(Object.entries(actual)), new Map(Object.entries(expected))];
  if (left.size !== right.size || Array.isArray(actual) !== Array.isArray(expected)) return path;
  for (const [key, value] of right) {
    const wrong = findDifference(left.get(key), value, mayLack, `${path}.${key}`);
    if (wrong !== null) return wrong;
  }
  return null;
}
