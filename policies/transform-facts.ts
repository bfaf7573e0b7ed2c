/** What expressions of transformations see: the message, who asks, and the request as it came. */
import { type AuthorizedRequest, buildFacts } from './authorize-expression.ts';
import { createExpressionEnvironment, type Expression } from './expression.ts';
import type { Viewer } from './request-context.ts';
import type { Rights } from './rights.ts';

const asked = {
  claims: 'map<string, dyn>',
  viewer: {
    id: 'string',
    kind: 'string',
    issuer: 'string',
    scopes: 'list<string>',
    roles: 'list<string>',
    permissions: 'list<string>',
  },
  request: {
    method: 'string',
    path: 'string',
    host: 'string',
    address: 'string',
    headers: 'map<string, string>',
    query: 'map<string, string>',
  },
  params: 'map<string, string>',
} as const;

const json = { mixedLiterals: true };

const environments = {
  query: createExpressionEnvironment(asked, json),
  request: createExpressionEnvironment({ ...asked, body: 'dyn' }, json),
  response: createExpressionEnvironment({ ...asked, body: 'dyn', status: 'int', headers: 'map<string, string>' }, json),
};

/** Reads an expression of a place. Throws an ExpressionMistake. */
export function parseTransformExpression(
  source: string,
  place: keyof typeof environments,
  returns: 'bool' | 'dyn' = 'dyn',
): Expression {
  return environments[place].parse(source, returns);
}

/** The variables that do not depend on a message. */
export type AskedFacts = Readonly<Record<keyof typeof asked, unknown>>;

export interface AskedRequest {
  readonly viewer: Viewer | null;
  readonly rights: Rights;
  readonly request: AuthorizedRequest;
  /** With its `?`, or empty. */
  readonly query: string;
  readonly params: Readonly<Record<string, string>>;
}

/** Of several query parameters of one name, the first is seen. */
export function buildAskedFacts({ viewer, rights, request, query, params }: AskedRequest): AskedFacts {
  const facts = buildFacts(viewer, request, rights);
  const parameters = [...new URLSearchParams(query)].reverse();
  return { ...facts, request: { ...(facts.request as object), query: Object.fromEntries(parameters) }, params };
}
