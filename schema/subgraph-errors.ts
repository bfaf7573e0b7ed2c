/**
 * What a service answered, made safe: invariant 7 (no upstream stack traces) and bounds on what one service can make
 * the gateway carry.
 */
import { type ExecutionResult, GraphQLError } from 'graphql';
import { GatewayError } from '../policies/errors.ts';

const maxErrors = 100;
const maxTextLength = 2_000;
const maxExtensionDepth = 5;
const maxExtensionValues = 200;

/**
 * Keys of extensions that describe the inside of a service, and two that would steer the gateway: Yoga takes status and
 * headers of its answer from `http`, and graphql-tools drops all data of an operation on `CRITICAL_ERROR`.
 */
const strippedKeyPattern = /^(stack|stacktrace|exception|originalerror|debug.*|http|critical_error|__proto__)$/i;

export interface SubgraphErrorOptions {
  /** Whether the service's own text and extensions reach the client. Else only the code does. */
  readonly pass: boolean;
}

/**
 * Checks the answer of a service and cleans its errors. Throws DOWNSTREAM_SERVICE_ERROR when it is no GraphQL response
 * at all. Answers that it made itself come out unchanged in meaning.
 */
export function normalizeResult(service: string, result: unknown, { pass }: SubgraphErrorOptions): ExecutionResult {
  if (!isRecord(result)) throw notGraphql(service);
  const { data, errors } = result;
  if (data !== undefined && data !== null && !isRecord(data)) throw notGraphql(service);
  if (errors === undefined || errors === null) {
    if (data === undefined || data === null) throw notGraphql(service);
    return { data };
  }
  const list: readonly unknown[] = Array.isArray(errors) ? errors : [errors];
  if (list.length === 0 && !data) throw notGraphql(service);
  return {
    ...(data !== undefined && { data }),
    ...(list.length > 0 && {
      errors: list.slice(0, maxErrors).map((error) => normalizeError(service, error, data, pass)),
    }),
  };
}

function notGraphql(service: string): GatewayError {
  return new GatewayError('DOWNSTREAM_SERVICE_ERROR', `Service "${service}" did not answer with a GraphQL response`, {
    service,
  });
}

function normalizeError(service: string, error: unknown, data: unknown, pass: boolean): GraphQLError {
  // Made by the gateway below us, with a message for clients already.
  if (error instanceof GraphQLError && error.originalError instanceof GatewayError) return error;
  const source = isRecord(error) ? error : {};
  const extensions = isRecord(source['extensions']) ? source['extensions'] : {};
  const masked = `Service "${service}" reported an error`;
  const message = typeof source['message'] === 'string' && source['message'] !== '' ? source['message'] : masked;
  const path = readPath(source['path'], data);
  return new GraphQLError(pass ? message.slice(0, maxTextLength) : masked, {
    ...(path !== undefined && { path }),
    extensions: { ...(pass && cleanExtensions(extensions)), code: readCode(extensions['code']), service },
  });
}

function readCode(code: unknown): string {
  return typeof code === 'string' && /^\w{1,64}$/.test(code) ? code : 'DOWNSTREAM_SERVICE_ERROR';
}

/**
 * The path as far as it leads through the data. Stitching follows it with plain property access: a segment that only
 * the prototype has (`__proto__`, `constructor`) would lead out of the answer.
 */
function readPath(path: unknown, data: unknown): (string | number)[] | undefined {
  if (!Array.isArray(path) || path.length > 100) return undefined;
  const segments: (string | number)[] = [];
  let value: unknown = data;
  for (const segment of path as readonly unknown[]) {
    if (typeof segment !== 'string' && !(Number.isSafeInteger(segment) && Number(segment) >= 0)) break;
    const key = segment as string | number;
    if (key in Object.prototype && !(isObject(value) && Object.hasOwn(value, key))) break;
    segments.push(key);
    value = isObject(value) ? value[key] : undefined;
  }
  return segments.length > 0 ? segments : undefined;
}

function cleanExtensions(extensions: Record<string, unknown>): Record<string, unknown> {
  let valuesLeft = maxExtensionValues;
  function clean(value: unknown, depth: number): unknown {
    valuesLeft -= 1;
    if (typeof value === 'string') return value.slice(0, maxTextLength);
    if (typeof value !== 'object' || value === null) return value;
    if (depth >= maxExtensionDepth) return null;
    if (Array.isArray(value)) return value.slice(0, Math.max(0, valuesLeft)).map((item) => clean(item, depth + 1));
    const copy: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      if (valuesLeft <= 0) break;
      if (!strippedKeyPattern.test(key) && key.length <= 100) copy[key] = clean(item, depth + 1);
    }
    return copy;
  }
  return clean(extensions, 0) as Record<string, unknown>;
}

function isObject(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return isObject(value) && !Array.isArray(value);
}
