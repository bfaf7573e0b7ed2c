/** Authorization: what a viewer must hold to pass a route, a type or a field. */
import Type from 'typebox';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';

/** A requirement as configured. `scopes` must all be held; `anyScopes` is a list of alternatives (outer OR, inner AND). */
export const AuthorizeOptions = Type.Object(
  {
    authenticated: Type.Optional(
      Type.Boolean({ description: 'Any authenticated viewer may pass. Implied by the others.' }),
    ),
    scopes: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: 'Scopes that must all be held.' }),
    ),
    anyScopes: Type.Optional(
      Type.Array(Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }), {
        minItems: 1,
        description: 'Alternatives, as in `@requiresScopes`: one of the inner lists must be held whole.',
      }),
    ),
  },
  // An empty object reads like a protection and would be none.
  { additionalProperties: false, minProperties: 1 },
);
export type AuthorizeOptions = Type.Static<typeof AuthorizeOptions>;

/** The same, worked out: what the hot path compares a viewer with. */
export interface Requirement {
  readonly authenticated: boolean;
  /** Every entry must be met. An entry is a list of alternatives, of which one must be held whole. */
  readonly scopes: readonly (readonly (readonly string[])[])[];
}

/** The requirement that options ask for. */
export function buildRequirement(options: AuthorizeOptions): Requirement {
  const scopes: (readonly (readonly string[])[])[] = [];
  if (options.scopes !== undefined) scopes.push([options.scopes]);
  if (options.anyScopes !== undefined) scopes.push(options.anyScopes);
  return { authenticated: options.authenticated === true || scopes.length > 0, scopes };
}

/** Both requirements at once: the result is met where each of the two is. */
export function mergeRequirements(a: Requirement, b: Requirement): Requirement {
  // An interface may have hundreds of implementing types that all ask for the same scope: what is equal counts once.
  const entries = new Map([...a.scopes, ...b.scopes].map((entry) => [JSON.stringify(entry), entry]));
  return { authenticated: a.authenticated || b.authenticated, scopes: [...entries.values()] };
}

/** What keeps a viewer out, or null when the viewer may pass. */
export function checkRequirement(requirement: Requirement, viewer: Viewer | null): GatewayError | null {
  if (!requirement.authenticated && requirement.scopes.length === 0) return null;
  // RFC 6750 section 3.1: no error code in the challenge where no credential was presented.
  if (viewer === null) return new GatewayError('UNAUTHENTICATED', undefined, { challenge: 'Bearer' });
  for (const alternatives of requirement.scopes) {
    if (!alternatives.some((all) => all.every((scope) => viewer.scopes.has(scope)))) return forbidden(alternatives);
  }
  return null;
}

function forbidden(alternatives: readonly (readonly string[])[]): GatewayError {
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
