/** Authentication: from a request's headers to a viewer, by JWT or API key. */
import type { IncomingHttpHeaders } from 'node:http';
import Type from 'typebox';
import { createApiKeys } from './api-keys.ts';
import { GatewayError } from './errors.ts';
import { createJwtVerifier } from './jwt.ts';
import type { Viewer } from './request-context.ts';
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
        description: 'Where the keys are (RFC 7517). Without it, they are found by OpenID discovery at `issuer`.',
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

/** What the authenticator needs of the outside world. */
export interface AuthenticatorDependencies {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Gets keys and discovery documents from identity providers. */
  readonly fetch?: typeof fetch;
}

export interface Authenticator {
  /**
   * Who sent these headers. Null without a credential. Throws, or rejects, where one is presented and wrong
   * (UNAUTHENTICATED) or cannot be checked now (SERVICE_UNAVAILABLE).
   *
   * Answers without a promise for anonymous requests, API keys, and tokens seen before: that is nearly every request.
   */
  authenticate(headers: IncomingHttpHeaders): Viewer | null | Promise<Viewer | null>;
}

/**
 * Builds the authenticator of both doors.
 *
 * - `authorization` is read only with `jwt` configured, `x-api-key` only with `apiKeys`. Where it is not read, it is the
 *   business of the services behind (e.g. Basic) and says nothing about the viewer.
 * - Where `authorization` is read, another scheme than Bearer is refused: a credential that the gateway cannot judge
 *   must not pass for an anonymous request.
 * - With a key and a token in one request both must be valid, and the token's subject is the viewer: usually an
 *   application that acts for a person. The rights of the two are not joined: nobody has granted that combination.
 */
export function createAuthenticator(
  options: AuthenticationOptions,
  dependencies: AuthenticatorDependencies = {},
): Authenticator {
  const jwt = options.jwt ?? [];
  const apiKeys = options.apiKeys ?? [];
  const tokens = jwt.length === 0 ? null : createJwtVerifier(jwt, { now: Date.now, fetch, ...dependencies });
  const keys = apiKeys.length === 0 ? null : createApiKeys(apiKeys);

  return {
    authenticate(headers) {
      const key = keys === null ? undefined : headers['x-api-key'];
      const holder = key === undefined || keys === null ? null : keys.identify(String(key));
      const authorization = tokens === null ? undefined : headers.authorization;
      if (authorization === undefined || tokens === null) return holder;
      return tokens.verify(parseBearerToken(authorization));
    },
  };
}

/**
 * The token of `Authorization: Bearer` (RFC 6750 section 2.1). The scheme's case does not matter (RFC 9110 section
 * 11.1). The pattern leaves no room for the comma of two fields that were joined: which of two tokens a service behind
 * would believe is unknown.
 */
function parseBearerToken(authorization: string): string {
  const match = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization);
  if (match?.[1] !== undefined) return match[1];
  // RFC 6750 section 3.1: no error code for a scheme that is not supported.
  const challenge = /^Bearer\b/i.test(authorization) ? 'Bearer error="invalid_token"' : 'Bearer';
  throw new GatewayError('UNAUTHENTICATED', 'The Authorization header must carry one bearer token', { challenge });
}
