/** Authorization: what a viewer must hold to pass a route, a type or a field. */
import Type from 'typebox';

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
  { additionalProperties: false },
);
export type AuthorizeOptions = Type.Static<typeof AuthorizeOptions>;

/** The same, worked out: what the hot path compares a viewer with. */
export interface Requirement {
  readonly authenticated: boolean;
  /** Every entry must be met. An entry is a list of alternatives, of which one must be held whole. */
  readonly scopes: readonly (readonly (readonly string[])[])[];
}
