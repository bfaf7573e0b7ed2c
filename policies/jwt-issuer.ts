/** Options of one issuer of JWTs. */
import Type from 'typebox';
import { Duration, OneOf } from './units.ts';

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
        description:
          'Where the keys are (RFC 7517). Without any of the three, they are found by OpenID discovery at `issuer`.',
      }),
    ),
    jwksFile: Type.Optional(
      Type.String({ minLength: 1, description: 'File with the keys instead. A change of it is noticed within 10 s.' }),
    ),
    jwks: Type.Optional(
      Type.Object(
        { keys: Type.Array(Type.Record(Type.String(), Type.Unknown()), { minItems: 1, description: 'Public keys.' }) },
        { additionalProperties: false, description: 'The keys themselves instead (RFC 7517).' },
      ),
    ),
    staleFor: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '1d',
        description:
          'How long keys are used that could not be fetched anew. They are fetched every 10 minutes, and when a token names an unknown one.',
      }),
    ),
    algorithms: Type.Optional(
      Type.Array(OneOf(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']), {
        minItems: 1,
        default: ['RS256', 'ES256', 'EdDSA'],
        description: 'Algorithms that are accepted; nothing else is.',
      }),
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
