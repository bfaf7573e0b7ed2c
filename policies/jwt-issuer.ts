/** Options of one issuer of JWTs. */
import Type from 'typebox';
import { Duration, OneOf } from './units.ts';

/** Algorithms with a secret that both sides know, and the least bytes it must have (RFC 7518 section 3.2). */
export const secretAlgorithms: ReadonlyMap<string, number> = new Map([
  ['HS256', 32],
  ['HS384', 48],
  ['HS512', 64],
]);

/** The bytes that a secret must have for all of these algorithms. */
export function minSecretBytes(algorithms: readonly string[]): number {
  return Math.max(...algorithms.map((algorithm) => secretAlgorithms.get(algorithm) ?? 0));
}

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
    secret: Type.Optional(
      Type.String({
        minLength: 32,
        description:
          'A secret shared with the issuer instead of keys, for `HS256` (at least 32 bytes), `HS384` (48) and `HS512` (64), which `algorithms` must name. Whoever knows it can make tokens: prefer keys.',
      }),
    ),
    secretFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'File with the secret instead, without the line break at its end. A change of it is noticed within 10 s.',
      }),
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
      Type.Array(
        OneOf([
          'RS256',
          'RS384',
          'RS512',
          'PS256',
          'PS384',
          'PS512',
          'ES256',
          'ES384',
          'ES512',
          'EdDSA',
          'HS256',
          'HS384',
          'HS512',
        ]),
        {
          minItems: 1,
          default: ['RS256', 'ES256', 'EdDSA'],
          description:
            'Algorithms that are accepted; nothing else is. Those with a secret (`HS...`) only with `secret`.',
        },
      ),
    ),
    typ: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9.+/_-]{0,126}$',
        description:
          'The `typ` that tokens must have, e.g. `at+jwt` (RFC 9068), so that no other JWT of the issuer passes for an access token. Default: none, `JWT` or `at+jwt`.',
      }),
    ),
    maxTokenAge: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        description: 'How long ago a token may have been issued (`iat`), whatever its `exp` says. Default: no matter.',
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
