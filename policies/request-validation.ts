/** Validation of requests by JSON Schemas and by operations of an OpenAPI document. */
import type { RequestMistake } from './errors.ts';
import { createSchemaValidator } from './json-schema.ts';
import type { FindBody, OpenapiOperation, OpenapiValidator } from './openapi.ts';
import { coerce, type RequestParts } from './request-parts.ts';
import { isJsonType } from './transform.ts';
import { parseSizeBytes } from './units.ts';
import type { OpenapiOptions, ValidateOptions } from './validate-options.ts';

export interface AskedRequest extends RequestParts {
  readonly method: string;
  /** At the service, without the query. */
  readonly path: string;
  /** Null where it is missing, or nobody wants it. */
  readonly document: OpenapiValidator | null;
}

/** What is to be said of one request. */
export interface RequestPlan {
  /** What is wrong with all but the body. */
  readonly mistakes: readonly RequestMistake[];
  /** What each who asks says of the body. */
  readonly bodies: readonly BodyRule[];
  readonly findAnswer: OpenapiOperation['findAnswer'] | null;
}

export interface BodyRule {
  readonly required: boolean;
  readonly find: FindBody;
}

export interface RequestValidation {
  readonly mode: 'enforce' | 'log';
  readonly maxBytes: number;
  readonly maxSteps: number | undefined;
  readonly openapi: OpenapiOptions | undefined;
  readonly looksAtAnswers: boolean;
  plan(asked: AskedRequest): RequestPlan;
}

/** Methods whose requests are expected to bring a body. */
export const bodyMethods: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** Compiles options that have no mistakes. */
export function compileValidation(options: ValidateOptions): RequestValidation {
  const { body, query, headers, params, openapi, maxSteps } = options;
  const checks = [
    ...(query === undefined ? [] : [check('query', query, ({ query: text }) => readQuery(text))]),
    ...(headers === undefined ? [] : [check('header', headers, (parts) => readHeaders(parts.headers))]),
    ...(params === undefined ? [] : [check('path', params, (parts) => readParams(parts.params))]),
  ];
  const validator = body === undefined ? null : createSchemaValidator(body, maxSteps);
  const find: FindBody = (type) => (isJsonType(type) ? validator : null);
  return {
    mode: options.mode ?? 'enforce',
    maxBytes: parseSizeBytes(options.maxBodySize ?? '1mb'),
    maxSteps,
    openapi,
    looksAtAnswers: options.responses === 'log',
    plan(asked) {
      const own = checks.flatMap((one) => one(asked));
      const rules = validator === null ? [] : [{ required: bodyMethods.has(asked.method), find }];
      if (asked.document === null) return { mistakes: own, bodies: rules, findAnswer: null };
      return planOperation(asked, asked.document, openapi?.unknown === 'pass', own, rules);
    },
  };
}

function planOperation(
  asked: AskedRequest,
  document: OpenapiValidator,
  passesUnknown: boolean,
  mistakes: readonly RequestMistake[],
  bodies: readonly BodyRule[],
): RequestPlan {
  const found = document.find(asked.method, asked.path);
  if (found === null) {
    const message = 'is, with this method, no operation of the OpenAPI document';
    const unknown: RequestMistake[] = passesUnknown ? [] : [{ in: 'path', pointer: '', message }];
    return { mistakes: [...mistakes, ...unknown], bodies, findAnswer: null };
  }
  const { operation, params } = found;
  return {
    mistakes: [...mistakes, ...operation.validateHead({ ...asked, params })],
    bodies: operation.body === null ? bodies : [...bodies, operation.body],
    findAnswer: operation.findAnswer,
  };
}

type Texts = ReadonlyMap<string, readonly string[]>;

function check(
  place: RequestMistake['in'],
  schema: Readonly<Record<string, unknown>>,
  read: (parts: RequestParts) => Texts,
) {
  const validator = createSchemaValidator(schema);
  return (parts: RequestParts): readonly RequestMistake[] => {
    const values = [...read(parts)].map(([name, texts]) => [name, coerce(texts, propertyOf(schema, name), schema)]);
    return validator.validate(Object.fromEntries(values)).map((error) => ({ in: place, ...error }));
  };
}

function readQuery(query: string): Texts {
  const found = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(query)) found.set(name, [...(found.get(name) ?? []), value]);
  return found;
}

function readHeaders(headers: RequestParts['headers']): Texts {
  return new Map(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, typeof value === 'string' ? [value] : value] as const],
    ),
  );
}

function readParams(params: RequestParts['params']): Texts {
  return new Map(Object.entries(params).map(([name, value]) => [name, [value]]));
}

function propertyOf(schema: Readonly<Record<string, unknown>>, name: string): unknown {
  const properties = schema['properties'] as Record<string, unknown> | undefined;
  if (properties !== undefined && Object.hasOwn(properties, name)) return properties[name];
  return schema['additionalProperties'];
}
