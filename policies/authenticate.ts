/** Authentication: from a request to a viewer, by access token, session or API key. */
import type { IncomingHttpHeaders } from 'node:http';
import Type from 'typebox';
import { type ApiKeys, createApiKeys } from './api-keys.ts';
import { cookieNamePattern, readCookie } from './cookies.ts';
import { type CredentialLookup, createCredentialLookup, type LookupOutcome } from './credential-lookup.ts';
import { GatewayError } from './errors.ts';
import { createIntrospection, IntrospectionOptions } from './introspection.ts';
import { createJwtVerifier } from './jwt.ts';
import { JwtIssuer } from './jwt-issuer.ts';
import type { Viewer } from './request-context.ts';
import { assertOwnOrigin } from './request-origin.ts';
import { type RevocationCheck, RevocationOptions } from './revocation.ts';
import { createSessionValidation, SessionOptions } from './session.ts';
import { OneOf, parseDurationMs } from './units.ts';

export const ApiKey = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
      description: 'Name of the key; becomes the viewer id where there is no `client`.',
    }),
    client: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
        description: 'Who holds the key, when that is more than one: becomes the viewer id of all of them.',
      }),
    ),
    expires: Type.Optional(
      Type.String({
        pattern: '^\\d{4}-\\d\\d-\\d\\d(T\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d))?$',
        description: 'When the key stops working: a date (its beginning, UTC) or a time (RFC 3339). Default: never.',
        examples: ['2027-01-31', '2027-01-31T12:00:00Z'],
      }),
    ),
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

export const CookieOptions = Type.Object(
  {
    token: Type.Optional(
      Type.String({
        pattern: cookieNamePattern,
        description:
          'Cookie with an access token, read where there is no `Authorization`. Call it `__Host-...`, so that no other host of the site can set it.',
      }),
    ),
    trustedOrigins: Type.Optional(
      Type.Array(Type.String({ pattern: '^https?://[^/?#\\s]+$' }), {
        default: [],
        description:
          'Origins of other pages that may send requests with cookies, e.g. `https://app.example`. From elsewhere only GET, HEAD and OPTIONS pass.',
      }),
    ),
    invalid: Type.Optional(
      OneOf(['anonymous', 'refuse'], {
        default: 'anonymous',
        description:
          'What a cookie is worth that is not valid any more. `anonymous`: as much as none, because a browser sends it until it is replaced, also to the page where one logs in. `refuse`: 401.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type CookieOptions = Type.Static<typeof CookieOptions>;

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
    introspection: Type.Optional(IntrospectionOptions),
    session: Type.Optional(SessionOptions),
    cookies: Type.Optional(CookieOptions),
    revocation: Type.Optional(RevocationOptions),
    managedApiKeys: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether API keys can also be made and removed at run time, by the admin API. They are kept in Redis.',
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
  /** Asks identity providers and session services. */
  readonly fetch?: typeof fetch;
  /** API keys beside those of the options. */
  readonly apiKeys?: ApiKeys | undefined;
  /** What tokens and sessions are checked against with every request. */
  readonly revocations?: RevocationCheck | undefined;
  /** What became of a credential that somebody else judges. */
  readonly onLookup?: (kind: LookupKind, outcome: LookupOutcome) => void;
  /** Nobody can be asked about such credentials. Told once per outage and pause. */
  readonly onUnavailable?: (kind: LookupKind, error: unknown) => void;
}

export type LookupKind = 'introspection' | 'session';

/** What cookies are judged by, beside the headers. */
export interface AuthenticationSubject {
  readonly method: string;
  readonly client: { readonly host: string };
}

export interface Authenticator {
  /**
   * Who sent these headers. Null without a credential. Throws, or rejects, where one is presented and wrong
   * (UNAUTHENTICATED), comes in a cookie from another site (FORBIDDEN), or cannot be checked now (SERVICE_UNAVAILABLE).
   *
   * Answers without a promise for anonymous requests, API keys, and tokens seen before: that is nearly every request.
   * Without a `subject` a cookie is judged as in a request that changes something.
   */
  authenticate(headers: IncomingHttpHeaders, subject?: AuthenticationSubject): Viewer | null | Promise<Viewer | null>;
}

interface Credential {
  readonly kind: 'token' | 'session';
  readonly text: string;
  readonly fromCookie: boolean;
}

/**
 * Builds the authenticator of both doors.
 *
 * - `authorization` is read only where tokens are configured, `x-api-key` only with `apiKeys`. Where it is not read, it is
 *   the business of the services behind (e.g. Basic) and says nothing about the viewer.
 * - Where `authorization` is read, another scheme than Bearer is refused: a credential that the gateway cannot judge
 *   must not pass for an anonymous request.
 * - What is sent on purpose counts before what a browser adds: Authorization, the session's header, the token's cookie,
 *   the session's cookie. One of them is judged, the others are not looked at.
 * - With a key and a token in one request both must be valid, and the token's subject is the viewer: usually an
 *   application that acts for a person. The rights of the two are not joined: nobody has granted that combination.
 */
export function createAuthenticator(
  options: AuthenticationOptions,
  dependencies: AuthenticatorDependencies = {},
): Authenticator {
  const { cookies = {} } = options;
  const apiKeys = options.apiKeys ?? [];
  const keys = joinApiKeys(
    apiKeys.length === 0 ? null : createApiKeys(apiKeys, dependencies.now),
    dependencies.apiKeys,
  );
  const judgeToken = createTokenJudge(options, dependencies);
  const sessions = createSessions(options.session, dependencies);
  const trustedOrigins = new Set(cookies.trustedOrigins);

  function findCredential(headers: IncomingHttpHeaders): Credential | null {
    if (judgeToken !== null && headers.authorization !== undefined) {
      return { kind: 'token', text: parseBearerToken(headers.authorization), fromCookie: false };
    }
    const header = options.session?.header?.toLowerCase();
    const given = header === undefined ? undefined : headers[header];
    if (typeof given === 'string') return { kind: 'session', text: given, fromCookie: false };
    return findCookie(headers.cookie);
  }

  function findCookie(header: string | undefined): Credential | null {
    if (header === undefined) return null;
    const token = judgeToken === null || cookies.token === undefined ? undefined : readCookie(header, cookies.token);
    if (token !== undefined) return { kind: 'token', text: token, fromCookie: true };
    const name = options.session?.cookie;
    const session = name === undefined ? undefined : readCookie(header, name);
    return session === undefined ? null : { kind: 'session', text: session, fromCookie: true };
  }

  function judge({ kind, text }: Credential): Viewer | Promise<Viewer> {
    const viewer =
      kind === 'token' && judgeToken !== null
        ? judgeToken(text)
        : refuseNobody(sessions?.find(text) ?? null, 'The session is not valid', undefined);
    return viewer instanceof Promise ? viewer.then(refuseRevoked) : refuseRevoked(viewer);
  }

  /** With every request: what is remembered of a credential does not know that it was revoked since. */
  function refuseRevoked(viewer: Viewer): Viewer {
    const refusal = dependencies.revocations?.check(viewer) ?? null;
    if (refusal !== null) throw refusal;
    return viewer;
  }

  /** A cookie that is worth nothing leaves whoever the API key names. */
  async function judgeCookie(credential: Credential, holder: Viewer | null): Promise<Viewer | null> {
    try {
      return await judge(credential);
    } catch (error) {
      const isInvalid = error instanceof GatewayError && error.code === 'UNAUTHENTICATED';
      if (isInvalid && cookies.invalid !== 'refuse') return holder;
      throw error;
    }
  }

  return {
    authenticate(headers, subject) {
      const key = keys === null ? undefined : headers['x-api-key'];
      const holder = key === undefined || keys === null ? null : keys.identify(String(key));
      const credential = findCredential(headers);
      if (credential === null) return holder;
      if (!credential.fromCookie) return judge(credential);
      const { method = 'POST', client = { host: headers.host } } = subject ?? {};
      assertOwnOrigin({ method, host: client.host, headers }, trustedOrigins);
      return judgeCookie(credential, holder);
    },
  };
}

/** Those of the configuration first: they are there whatever happens to the others. */
function joinApiKeys(configured: ApiKeys | null, managed: ApiKeys | undefined): ApiKeys | null {
  if (configured === null || managed === undefined) return configured ?? managed ?? null;
  return {
    knows: (key) => configured.knows(key) || managed.knows(key),
    identify: (key) => (configured.knows(key) ? configured : managed).identify(key),
  };
}

type TokenJudge = (token: string) => Viewer | Promise<Viewer>;

/** JWTs of known issuers are verified here and nowhere else; every other token is asked for, where that is configured. */
function createTokenJudge(options: AuthenticationOptions, dependencies: AuthenticatorDependencies): TokenJudge | null {
  const { jwt = [], introspection } = options;
  const verifier = jwt.length === 0 ? null : createJwtVerifier(jwt, { now: Date.now, fetch, ...dependencies });
  const lookup = introspection === undefined ? null : createTokenLookup(introspection, dependencies);
  if (lookup === null) return verifier === null ? null : (token) => verifier.verify(token);
  return (token) => {
    if (verifier?.claims(token) === true) return verifier.verify(token);
    const message = 'The access token is not valid';
    return refuseNobody(lookup.find(token), message, `Bearer error="invalid_token", error_description="${message}"`);
  };
}

function createTokenLookup(options: IntrospectionOptions, dependencies: AuthenticatorDependencies): CredentialLookup {
  const { now = Date.now, fetch: ask = fetch } = dependencies;
  const introspect = createIntrospection(options, { now, fetch: ask });
  return createCredentialLookup({
    what: 'identity provider',
    // RFC 7662 knows no question about several tokens.
    maxBatchSize: 1,
    load: ([token = '']) => introspect(token).then((found) => [found]),
    cacheForMs: parseDurationMs(options.cacheFor ?? '30s'),
    now,
    onOutcome: (outcome) => dependencies.onLookup?.('introspection', outcome),
    onUnavailable: (error) => dependencies.onUnavailable?.('introspection', error),
  });
}

function createSessions(
  options: SessionOptions | undefined,
  dependencies: AuthenticatorDependencies,
): CredentialLookup | null {
  if (options === undefined) return null;
  const { now = Date.now, fetch: ask = fetch } = dependencies;
  return createCredentialLookup({
    what: 'session service',
    maxBatchSize: options.maxBatchSize ?? 1,
    load: createSessionValidation(options, { now, fetch: ask }),
    cacheForMs: parseDurationMs(options.cacheFor ?? '30s'),
    now,
    onOutcome: (outcome) => dependencies.onLookup?.('session', outcome),
    onUnavailable: (error) => dependencies.onUnavailable?.('session', error),
  });
}

/** A viewer, now or later; who is nobody is refused. */
function refuseNobody(
  found: Viewer | null | Promise<Viewer | null>,
  message: string,
  challenge: string | undefined,
): Viewer | Promise<Viewer> {
  if (found instanceof Promise) return found.then((viewer) => refuseNobody(viewer, message, challenge));
  if (found === null) throw new GatewayError('UNAUTHENTICATED', message, { challenge });
  return found;
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
