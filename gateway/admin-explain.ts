/** `POST /explain` of the admin API. Whoever may look at services may ask it: it changes nothing. */
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { GatewayError } from '../policies/errors.ts';
import { buildReasons, findSchemaMistakes } from '../policies/schema-mistakes.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';
import type { Explanation } from './explain.ts';
import type { ExplainQuestion } from './explanation.ts';

const closed = { additionalProperties: false } as const;
const Headers = Type.Record(Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$" }), Type.String(), closed);

const routeQuestions = Compile(
  Type.Object(
    {
      method: Type.Optional(Type.String({ pattern: '^[A-Za-z]{1,32}$' })),
      path: Type.String({ pattern: '^/', maxLength: 16_384 }),
      headers: Type.Optional(Headers),
    },
    closed,
  ),
);

const operationQuestions = Compile(
  Type.Object(
    {
      query: Type.String({ minLength: 1, maxLength: 1_000_000 }),
      variables: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
      operationName: Type.Optional(Type.String({ minLength: 1 })),
      headers: Type.Optional(Headers),
    },
    closed,
  ),
);

export async function postExplain(
  explain: (question: ExplainQuestion) => Promise<Explanation>,
  request: AdminRequest,
): Promise<AdminAnswer> {
  return { status: 200, headers: { 'cache-control': 'no-store' }, body: await explain(parseQuestion(request.body)) };
}

/** Throws BAD_REQUEST with everything that is wrong. No value of a header gets into a message. */
function parseQuestion(body: unknown): ExplainQuestion {
  const given = typeof body === 'object' && body !== null ? (body as Partial<ExplainQuestion>) : {};
  if (!('query' in given) && !('path' in given)) {
    const expected = '{ "method", "path", "headers" } or { "query", "variables", "operationName", "headers" }';
    throw new GatewayError('BAD_REQUEST', `The body must be ${expected}`);
  }
  const mistakes = findSchemaMistakes('query' in given ? operationQuestions : routeQuestions, given);
  if (mistakes.length > 0) {
    const told = mistakes.map(({ path, message }) =>
      path[0] === 'headers' && path.length > 1
        ? { path, message: 'expected names of headers with texts' }
        : { path, message },
    );
    throw new GatewayError('BAD_REQUEST', 'The question is not valid', { reasons: buildReasons(told) });
  }
  const { headers = {} } = given as { headers?: Record<string, string> };
  return 'query' in given
    ? ({ ...given, headers } as ExplainQuestion)
    : ({ method: 'GET', ...given, headers } as ExplainQuestion);
}
