/** What a configuration says about authorization: at routes, types, fields and arguments, and once for all of them. */
import Type from 'typebox';
import { maxExpressionLength } from './expression.ts';
import { OneOf } from './units.ts';

const Name = Type.String({ minLength: 1 });
const closed = { additionalProperties: false } as const;

const requirementProperties = {
  authenticated: Type.Optional(
    Type.Boolean({
      description:
        'Any authenticated viewer may pass. Implied by the others; `false` beside an `expression` lets it decide about anonymous requests too.',
    }),
  ),
  scopes: Type.Optional(Type.Array(Name, { minItems: 1, description: 'Scopes that must all be held.' })),
  anyScopes: Type.Optional(
    Type.Array(Type.Array(Name, { minItems: 1 }), {
      minItems: 1,
      description: 'Alternatives, as in `@requiresScopes`: one of the inner lists must be held whole.',
    }),
  ),
  roles: Type.Optional(Type.Array(Name, { minItems: 1, description: 'Roles of which one must be held.' })),
  permissions: Type.Optional(
    Type.Array(Name, {
      minItems: 1,
      description: 'Permissions that must all be held, by the claim or by a role: see `authorization`.',
    }),
  ),
  expression: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: maxExpressionLength,
      description:
        'CEL over `claims`, `viewer` (`id`, `kind`, `issuer`, `scopes`, `roles`, `permissions`), `request` (`method`, `path`, `host`, `address`, `headers` in lower case) and, at fields, `args`. It must give `true`; an error in it refuses.',
      examples: ["claims.tenant == 'acme' && request.method == 'GET'"],
    }),
  ),
};

export const authorizationModes = ['reject', 'filter'] as const;
export type AuthorizationMode = (typeof authorizationModes)[number];

/** A requirement as configured. All of it must be met. An empty object reads like a protection and would be none. */
export const AuthorizeOptions = Type.Object(requirementProperties, { ...closed, minProperties: 1 });
export type AuthorizeOptions = Type.Static<typeof AuthorizeOptions>;

/** The same at types, fields and arguments, where an operation can go on without them. */
export const GraphqlAuthorizeOptions = Type.Object(
  {
    ...requirementProperties,
    mode: Type.Optional(
      OneOf(authorizationModes, {
        description:
          'What happens to operations of those who may not. `reject`: nothing is executed. `filter`: the field is null, with an error. Default: `authorization.mode`.',
      }),
    ),
  },
  { ...closed, minProperties: 1 },
);
export type GraphqlAuthorizeOptions = Type.Static<typeof GraphqlAuthorizeOptions>;

/** By name: what is asked of whoever gives the argument. */
export const ArgumentPolicies = Type.Record(
  Type.String({ pattern: '^[_A-Za-z][_0-9A-Za-z]*$' }),
  Type.Object({ authorize: Type.Optional(GraphqlAuthorizeOptions) }, closed),
  {
    ...closed,
    description: 'Policies of single arguments. They hold where an operation gives the argument, be it null.',
  },
);

export type ArgumentPolicies = Type.Static<typeof ArgumentPolicies>;

/** The section `authorization`. */
export const AuthorizationOptions = Type.Object(
  {
    mode: Type.Optional(
      OneOf(authorizationModes, {
        default: 'reject',
        description:
          'What happens to an operation that asks for fields which its viewer may not read. `reject`: it is refused whole. `filter`: those fields are null with an error, and services are not asked for them.',
      }),
    ),
    permissions: Type.Optional(
      Type.Record(Name, Type.Union([Type.Literal('*'), Type.Array(Name)]), {
        description: 'Permissions by role; `"*"` for all.',
        examples: [{ editor: ['articles:write'], auditor: '*' }],
      }),
    ),
    permissionsClaim: Type.Optional(
      Type.String({
        minLength: 1,
        default: 'permissions',
        description: 'Claim with permissions of the viewer: a string of words or a list.',
      }),
    ),
    rolesClaim: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Claim with further roles: a string of words or a list. Default: only the roles that authentication found.',
      }),
    ),
    adminRole: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Role that has all roles and permissions. Scopes and expressions hold for it too. Default: there is none.',
        examples: ['admin'],
      }),
    ),
    policies: Type.Optional(
      Type.Record(Name, AuthorizeOptions, {
        description: 'What the names in `@policy` of the services stand for. Nobody passes a policy that is not here.',
      }),
    ),
  },
  { ...closed, description: 'Who may do what, for both doors.' },
);
export type AuthorizationOptions = Type.Static<typeof AuthorizationOptions>;
