/** What is asked of a viewer, as configured or as a service's directives say it, in the form that is compared. */

import { parseRequirementExpression } from './authorize-expression.ts';
import type { AuthorizationMode, AuthorizeOptions, GraphqlAuthorizeOptions } from './authorize-options.ts';
import type { Expression } from './expression.ts';

/** A list of alternatives, of which one must be held whole. None at all: nobody passes. */
export type Alternatives = readonly (readonly string[])[];

/** The same, worked out: what the hot path compares a viewer with. Every entry of every list must be met. */
export interface Requirement {
  readonly authenticated: boolean;
  readonly scopes: readonly Alternatives[];
  /** An entry is a list of roles of which one must be held. */
  readonly roles?: readonly (readonly string[])[];
  readonly permissions?: readonly string[];
  readonly expressions?: readonly Expression[];
  /** Names in `@policy`: what they ask is said in the configuration. */
  readonly policies?: readonly Alternatives[];
  /** At fields, what happens to whoever may not; undefined for what is the rule of the gateway. */
  readonly mode?: AuthorizationMode;
}

/** The requirement that options ask for. Throws an ExpressionMistake. */
export function buildRequirement(options: AuthorizeOptions | GraphqlAuthorizeOptions): Requirement {
  const { authenticated, scopes, anyScopes, roles, permissions, expression } = options;
  const entries: Alternatives[] = [];
  if (scopes !== undefined) entries.push([scopes]);
  if (anyScopes !== undefined) entries.push(anyScopes);
  const mode = 'mode' in options ? options.mode : undefined;
  return {
    // An expression alone may let anonymous requests pass, but only where it says so.
    authenticated: authenticated !== false || entries.length > 0 || roles !== undefined || permissions !== undefined,
    scopes: entries,
    ...(roles !== undefined && { roles: [roles] }),
    ...(permissions !== undefined && { permissions }),
    ...(expression !== undefined && { expressions: [parseRequirementExpression(expression)] }),
    ...(mode !== undefined && { mode }),
  };
}

/** Both requirements at once: the result is met where each of the two is. */
export function mergeRequirements(a: Requirement, b: Requirement): Requirement {
  const mode = a.mode === 'reject' || b.mode === 'reject' ? 'reject' : (a.mode ?? b.mode);
  return {
    authenticated: a.authenticated || b.authenticated,
    // An interface may have hundreds of implementing types that all ask for the same: what is equal counts once.
    scopes: joinOnce(a.scopes, b.scopes, JSON.stringify) ?? [],
    ...compact({
      roles: joinOnce(a.roles, b.roles, JSON.stringify),
      permissions: joinOnce(a.permissions, b.permissions, String),
      expressions: joinOnce(a.expressions, b.expressions, ({ source }) => source),
      policies: joinOnce(a.policies, b.policies, JSON.stringify),
      mode,
    }),
  };
}

function joinOnce<Entry>(
  a: readonly Entry[] = [],
  b: readonly Entry[] = [],
  identify: (entry: Entry) => string,
): readonly Entry[] | undefined {
  const entries = new Map([...a, ...b].map((entry) => [identify(entry), entry]));
  return entries.size === 0 ? undefined : [...entries.values()];
}

type Compact<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

function compact<T extends object>(value: T): Compact<T> {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Compact<T>;
}
