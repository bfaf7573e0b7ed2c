/** What expressions of requirements see: who asks, and the request. */
import { createExpressionEnvironment, type Expression, toExpressionValue } from './expression.ts';
import type { RequestContext, Viewer } from './request-context.ts';
import type { Rights } from './rights.ts';

/** The facts of a request that an expression may look at. */
export interface AuthorizedRequest extends Pick<RequestContext, 'method' | 'headers' | 'client'> {
  /** Of the request target, without the query. */
  readonly path?: string;
}

/** The variables of who asks, and what: in every expression. */
export const askedVariables = {
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
  },
} as const;

const environment = createExpressionEnvironment({ ...askedVariables, args: 'map<string, dyn>' });

/** Reads an expression that lets pass or does not. Throws an ExpressionMistake. */
export function parseRequirementExpression(source: string): Expression {
  return environment.parse(source, 'bool');
}

interface Facts {
  readonly claims: unknown;
  readonly viewer: unknown;
  readonly request: unknown;
}

/** Viewers are frozen, and those that are remembered come with many requests. */
const knownViewers = new WeakMap<Viewer, { readonly rights: Rights; readonly facts: Omit<Facts, 'request'> }>();
const knownRequests = new WeakMap<AuthorizedRequest, unknown>();

/** The variables of an expression but for `args`. An anonymous request has a viewer without anything. */
export function buildFacts(viewer: Viewer | null, request: AuthorizedRequest, rights: Rights): Facts {
  let requestFacts = knownRequests.get(request);
  if (requestFacts === undefined) {
    requestFacts = describeRequest(request);
    knownRequests.set(request, requestFacts);
  }
  if (viewer === null) return { claims: {}, viewer: nobody, request: requestFacts };
  let known = knownViewers.get(viewer);
  if (known?.rights !== rights) {
    known = { rights, facts: describeViewer(viewer, rights) };
    knownViewers.set(viewer, known);
  }
  return { ...known.facts, request: requestFacts };
}

const nobody = Object.freeze({ id: '', kind: 'anonymous', issuer: '', scopes: [], roles: [], permissions: [] });

function describeViewer(viewer: Viewer, rights: Rights): Omit<Facts, 'request'> {
  const { id, kind, issuer = '', scopes, claims } = viewer;
  const roles = [...rights.rolesOf(viewer)];
  const permissions = [...rights.permissionsOf(viewer)];
  return { claims: toExpressionValue(claims), viewer: { id, kind, issuer, scopes: [...scopes], roles, permissions } };
}

function describeRequest({ method, path = '', client, headers }: AuthorizedRequest): unknown {
  const fields = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
  );
  return { method, path, host: client.host, address: client.address, headers: Object.fromEntries(fields) };
}
