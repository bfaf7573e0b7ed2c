/** Transformations, ready for use: of a query, of a body of a request, of an answer. */
import { createHash } from 'node:crypto';
import { type Expression, toExpressionValue } from './expression.ts';
import { compileShape } from './json-shape.ts';
import { parseJson, writeJson } from './json-text.ts';
import { compileQueryRules } from './query-rules.ts';
import { type AskedFacts, parseTransformExpression } from './transform-facts.ts';
import type { BodyOptions, TransformOptions } from './transform-options.ts';
import { parseSizeBytes } from './units.ts';
import { createXmlCodec, type XmlCodec } from './xml-text.ts';

export interface NewBody {
  readonly body: Buffer;
  /** Undefined where the message keeps its own. */
  readonly contentType: string | undefined;
}

/** Of a request or an answer. Loaded before it is used. */
export interface BodyTransform {
  /** Whether bodies of this Content-Type are changed. */
  takes(contentType: string | undefined): boolean;
  /** Reads a body. Throws a TextMistake. */
  parse(bytes: Uint8Array): unknown;
  /** Makes the new body. Throws a {@link TransformFailure}, a TextMistake or TextTooLong. */
  apply(value: unknown, variables: Readonly<Record<string, unknown>>): NewBody;
  /** Whether its expression makes a body where there is none. */
  readonly makesBody: boolean;
}

export interface AnswerTransform {
  readonly status: number | undefined;
  readonly body: BodyTransform;
  /** Whether an answer is changed; undefined where only its body tells. */
  whenHead(variables: Readonly<Record<string, unknown>>): boolean | undefined;
  whenBody(value: unknown, variables: Readonly<Record<string, unknown>>): boolean;
  /** Whether the body stays as it is. */
  readonly keepsBody: boolean;
}

export interface Transform {
  readonly maxBytes: number;
  readonly query: ((query: string, facts: AskedFacts) => string) | null;
  readonly request: BodyTransform | null;
  readonly response: AnswerTransform | null;
  /** What answers depend on beside what a service sends: for the keys of caches. */
  answerKey(facts: AskedFacts): string;
}

/** An expression that has no value for a message. What it says is for logs. */
export class TransformFailure extends Error {
  override readonly name = 'TransformFailure';
}

/** Compiles options that {@link findTransformMistakes} finds nothing in. */
export async function compileTransform(options: TransformOptions): Promise<Transform> {
  const { request, response } = options;
  const maxBytes = parseSizeBytes(options.maxBodySize ?? '1mb');
  const changesRequest = request !== undefined && Object.keys(request).some((key) => key !== 'query');
  const answer = response === undefined ? null : await compileAnswer(response, maxBytes);
  const seen = [response?.body, response?.when].flatMap((source) =>
    source === undefined ? [] : [...parseTransformExpression(source, 'response').variables],
  );
  const asked = (['claims', 'viewer', 'request', 'params'] as const).filter((name) => seen.includes(name));
  const base = createHash('sha256')
    .update(JSON.stringify(response ?? null))
    .digest('base64url');
  return {
    maxBytes,
    query: request?.query === undefined ? null : compileQueryRules(request.query),
    request: changesRequest ? await compileBody(request, 'request', maxBytes) : null,
    response: answer,
    answerKey: (facts) =>
      asked.length === 0
        ? base
        : `${base} ${writeJson(
            asked.map((name) => facts[name]),
            Number.MAX_SAFE_INTEGER,
          )}`,
  };
}

async function compileAnswer(options: NonNullable<TransformOptions['response']>, maxBytes: number) {
  const body = await compileBody(options, 'response', maxBytes);
  const when = options.when === undefined ? null : parseTransformExpression(options.when, 'response', 'bool');
  const needsBody = when?.variables.has('body') === true;
  const { when: _, status, xml: __, ...changes } = options;
  const test = (variables: Readonly<Record<string, unknown>>): boolean => {
    if (when !== null) return evaluate(when, variables) === true;
    return Number(variables['status']) >= 200 && Number(variables['status']) < 300;
  };
  return {
    status,
    body,
    keepsBody: Object.keys(changes).length === 0,
    whenHead: (variables) => (needsBody ? undefined : test(variables)),
    whenBody: (value, variables) => !needsBody || test({ ...variables, body: toExpressionValue(value) }),
  } satisfies AnswerTransform;
}

async function compileBody(
  options: BodyOptions,
  place: 'request' | 'response',
  maxBytes: number,
): Promise<BodyTransform> {
  const { from = 'json', to = 'json', contentType } = options;
  const xml: XmlCodec | null = from === 'xml' || to === 'xml' ? await createXmlCodec(options.xml) : null;
  const shape = compileShape(options);
  const expression = options.body === undefined ? null : parseTransformExpression(options.body, place);
  const write = to === 'xml' && xml !== null ? xml.write : writeJson;
  const written = contentType ?? (from === to ? undefined : `application/${to}`);
  return {
    takes: from === 'xml' ? isXmlType : isJsonType,
    parse: from === 'xml' && xml !== null ? xml.parse : parseJson,
    makesBody: expression !== null,
    apply(value, variables) {
      const shaped = shape === null || value === undefined ? value : shape(value);
      const made =
        expression === null ? shaped : evaluate(expression, { ...variables, body: toExpressionValue(shaped) });
      return {
        body: Buffer.from(write(made, maxBytes)),
        contentType: written ?? (value === undefined ? 'application/json' : undefined),
      };
    },
  };
}

function evaluate(expression: Expression, variables: Readonly<Record<string, unknown>>): unknown {
  try {
    return expression.evaluate(variables);
  } catch (error) {
    throw new TransformFailure(`no value of \`${expression.source}\``, { cause: error });
  }
}

/** `application/json` and `...+json` (RFC 6839 section 3.1), in UTF-8 as JSON is (RFC 8259 section 8.1). */
export function isJsonType(contentType: string | undefined): boolean {
  return /^\s*[\w.+-]+\/(?:json|[\w.-]+\+json)\s*(?:;|$)/i.test(contentType ?? '');
}

/** `application/xml`, `text/xml` and `...+xml` (RFC 7303). */
export function isXmlType(contentType: string | undefined): boolean {
  return /^\s*[\w.+-]+\/(?:xml|[\w.-]+\+xml)\s*(?:;|$)/i.test(contentType ?? '');
}
