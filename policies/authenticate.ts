/** Authentication: from a request's headers to a viewer, by JWT or API key. */
import Type from 'typebox';
import { Duration } from './units.ts';

export const JwtIssuer = Type.Object(
  {
    issuer: Type.String({ minLength: 1, description: 'The `iss` that tokens must carry (RFC 7519 section 4.1.1).' }),
    audience: Type.Optional(
      Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })], {
        description:
          'The `aud` that tokens must carry (one of them). Without it any audience passes: say it whenever you can.',
      }),
    ),
    jwksUri: Type.Optional(
      Type.String({
        pattern: '^https?://',
        description: 'Where the keys are (RFC 7517). Without it, they are found by OpenID discovery at `issuer`.',
      }),
    ),
    algorithms: Type.Optional(
      Type.Array(
        Type.Union(
          (['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const).map(
            (name) => Type.Literal(name),
          ),
        ),
        {
          minItems: 1,
          default: ['RS256', 'ES256', 'EdDSA'],
          description: 'Algorithms that are accepted; nothing else is.',
        },
      ),
    ),
    clockTolerance: Type.Optional(
      Type.Unsafe<string>({ ...Duration, default: '5s', description: 'Allowed clock difference.' }),
    ),
    scopesClaim: Type.Optional(
      Type.String({ default: 'scope', description: 'Claim with the scopes: a string of words or a list.' }),
    ),
    rolesClaim: Type.Optional(
      Type.String({ default: 'roles', description: 'Claim with the roles: a list of strings.' }),
    ),
  },
  { additionalProperties: false },
);
export type JwtIssuer = Type.Static<typeof JwtIssuer>;

export const ApiKey = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
      description: 'Who holds the key; becomes the viewer id.',
    }),
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the key, in lower-case hex.' }),
    scopes: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { default: [], description: 'Scopes that the key grants.' }),
    ),
    roles: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { default: [], description: 'Roles that the key grants.' }),
    ),
  },
  { additionalProperties: false },
);
export type ApiKey = Type.Static<typeof ApiKey>;

export const AuthenticationOptions = Type.Object(
  {
    required: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether every route and every root field needs a viewer unless it is marked `public`. Otherwise anonymous requests pass wherever nothing is asked of the viewer. A credential that is presented and wrong is refused in both cases.',
      }),
    ),
    jwt: Type.Optional(
      Type.Array(JwtIssuer, {
        default: [],
        description: 'Issuers whose tokens are accepted in `Authorization: Bearer`.',
      }),
    ),
    apiKeys: Type.Optional(Type.Array(ApiKey, { default: [], description: 'Keys that are accepted in `x-api-key`.' })),
  },
  { additionalProperties: false },
);
export type AuthenticationOptions = Type.Static<typeof AuthenticationOptions>;
