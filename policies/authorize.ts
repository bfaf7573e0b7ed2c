/** Authorization: whether a viewer may pass a route, a type, a field or an argument. The same for both doors. */
import { type AuthorizedRequest, buildFacts } from './authorize-expression.ts';
import { GatewayError } from './errors.ts';
import type { Expression } from './expression.ts';
import type { Viewer } from './request-context.ts';
import type { Alternatives, Requirement } from './requirement.ts';
import { noRights, type Rights } from './rights.ts';

/** Where a viewer wants to pass. */
export interface Surroundings {
  /** What roles give, and what policies stand for. Without it they give and allow nothing. */
  readonly rights?: Rights;
  /** Without it expressions refuse. */
  readonly request?: AuthorizedRequest;
  /** Arguments of the field. */
  readonly args?: Readonly<Record<string, unknown>>;
}

/** Whether the arguments of a field decide: then it cannot be said of an operation as a whole. */
export function needsArguments({ expressions = [], policies = [] }: Requirement, rights: Rights): boolean {
  if (expressions.some(({ variables }) => variables.has('args'))) return true;
  return policies.flat(2).some((name) => {
    const policy = rights.findPolicy(name);
    return policy !== undefined && needsArguments(policy, rights);
  });
}

/** What keeps a viewer out, or null when the viewer may pass. */
export function checkRequirement(
  requirement: Requirement,
  viewer: Viewer | null,
  surroundings: Surroundings = {},
): GatewayError | null {
  // RFC 6750 section 3.1: no error code in the challenge where no credential was presented.
  const unauthenticated = () => new GatewayError('UNAUTHENTICATED', undefined, { challenge: 'Bearer' });
  if (viewer === null && isForViewers(requirement)) return unauthenticated();
  for (const alternatives of requirement.scopes) {
    if (!alternatives.some((all) => all.every((scope) => viewer?.scopes.has(scope)))) return missingScope(alternatives);
  }
  const message = findMissing(requirement, viewer, surroundings);
  if (message === null) return null;
  // Whoever logs in may be another; and a name of a role, a permission or a policy is nobody's business who lacks it.
  return viewer === null ? unauthenticated() : new GatewayError('FORBIDDEN', message);
}

function isForViewers({ authenticated, scopes, roles = [], permissions = [] }: Requirement): boolean {
  return authenticated || scopes.length > 0 || roles.length > 0 || permissions.length > 0;
}

function findMissing(
  { roles = [], permissions = [], expressions = [], policies = [] }: Requirement,
  viewer: Viewer | null,
  surroundings: Surroundings,
): string | null {
  const { rights = noRights, request, args } = surroundings;
  if (viewer !== null) {
    if (!roles.every((some) => rights.hasRole(viewer, some))) return 'Missing role';
    if (!permissions.every((permission) => rights.hasPermission(viewer, permission))) return 'Missing permission';
  }
  for (const expression of expressions) {
    if (request === undefined || !holds(expression, { ...buildFacts(viewer, request, rights), args: args ?? {} })) {
      return 'Not allowed';
    }
  }
  const allows = (name: string): boolean => {
    const policy = rights.findPolicy(name);
    return policy !== undefined && checkRequirement(policy, viewer, surroundings) === null;
  };
  return policies.every((alternatives) => alternatives.some((all) => all.every(allows))) ? null : 'Not allowed';
}

/** Whether it gives `true`. What it cannot find or compare is no reason to let anybody in, nor for an error of the gateway. */
function holds(expression: Expression, variables: Readonly<Record<string, unknown>>): boolean {
  try {
    return expression.evaluate(variables) === true;
  } catch {
    return false;
  }
}

function missingScope(alternatives: Alternatives): GatewayError {
  const first = alternatives[0] ?? [];
  const needed = alternatives.map((all) => all.join(' and ')).join(', or ');
  const message = needed === '' ? 'Nobody may pass' : `Missing scope: this needs ${needed}`;
  // Scopes may come from the schema of any team, so only what RFC 6749 section 3.3 allows gets into a header.
  const scope = first.length > 0 && first.every(isScopeToken) ? `, scope="${first.join(' ')}"` : '';
  return new GatewayError('FORBIDDEN', message, { challenge: `Bearer error="insufficient_scope"${scope}` });
}

function isScopeToken(scope: string): boolean {
  return /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope);
}
