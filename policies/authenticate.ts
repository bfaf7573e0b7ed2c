/** Authentication: from a request to a viewer, by access token, session, API key or client certificate. */
import type { IncomingHttpHeaders } from 'node:http';
import { type ApiKeys, createApiKeys } from './api-keys.ts';
import type { AuthenticationOptions } from './authentication-options.ts';
import { type CertificateViewers, type ClientCertificate, createCertificateViewers } from './client-certificate.ts';
import { readCookie } from './cookies.ts';
import { createSessions, createTokenJudge, type JudgeDependencies, refuseNobody } from './credential-judges.ts';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';
import { assertOwnOrigin } from './request-origin.ts';
import type { RevocationCheck } from './revocation.ts';
import { assertTokenHolder } from './token-binding.ts';

/** What the authenticator needs of the outside world. */
export interface AuthenticatorDependencies extends JudgeDependencies {
  /** API keys beside those of the options. */
  readonly apiKeys?: ApiKeys | undefined;
  /** What tokens and sessions are checked against with every request. */
  readonly revocations?: RevocationCheck | undefined;
}

/** What a request is judged by, beside its headers. */
export interface AuthenticationSubject {
  readonly method: string;
  readonly client: { readonly host: string };
  /** The certificate of the client; null without one. Throws UNAUTHENTICATED for one that is not valid. */
  readonly certificate?: (() => ClientCertificate | null) | undefined;
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
 * - A client certificate says whose connection it is, so it counts last, behind keys; but it must be valid as well.
 */
export function createAuthenticator(
  options: AuthenticationOptions,
  dependencies: AuthenticatorDependencies = {},
): Authenticator {
  const { cookies = {} } = options;
  const { now = Date.now } = dependencies;
  const apiKeys = options.apiKeys ?? [];
  const keys = joinApiKeys(
    apiKeys.length === 0 ? null : createApiKeys(apiKeys, dependencies.now),
    dependencies.apiKeys,
  );
  const rules = options.clientCertificates ?? [];
  const certificates = rules.length === 0 ? null : createCertificateViewers(rules, dependencies.now);
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

  function judge({ kind, text }: Credential, subject: AuthenticationSubject | undefined): Viewer | Promise<Viewer> {
    const viewer =
      kind === 'token' && judgeToken !== null
        ? judgeToken(text)
        : refuseNobody(sessions?.find(text) ?? null, 'The session is not valid', undefined);
    const settle = (found: Viewer): Viewer => {
      assertTokenHolder(found, () => subject?.certificate?.() ?? null, now());
      return refuseRevoked(found);
    };
    return viewer instanceof Promise ? viewer.then(settle) : settle(viewer);
  }

  /** With every request: what is remembered of a credential does not know that it was revoked since. */
  function refuseRevoked(viewer: Viewer): Viewer {
    const refusal = dependencies.revocations?.check(viewer) ?? null;
    if (refusal !== null) throw refusal;
    return viewer;
  }

  function identifyCertificate(table: CertificateViewers, subject: AuthenticationSubject | undefined): Viewer | null {
    const certificate = subject?.certificate?.() ?? null;
    const viewer = certificate === null ? null : table.identify(certificate);
    return viewer === null ? null : refuseRevoked(viewer);
  }

  /** A cookie that is worth nothing leaves whoever the API key or the certificate names. */
  async function judgeCookie(
    credential: Credential,
    holder: Viewer | null,
    subject: AuthenticationSubject | undefined,
  ): Promise<Viewer | null> {
    try {
      return await judge(credential, subject);
    } catch (error) {
      const isInvalid = error instanceof GatewayError && error.code === 'UNAUTHENTICATED';
      if (isInvalid && cookies.invalid !== 'refuse') return holder;
      throw error;
    }
  }

  return {
    authenticate(headers, subject) {
      const connected = certificates === null ? null : identifyCertificate(certificates, subject);
      const key = keys === null ? undefined : headers['x-api-key'];
      const holder = key === undefined || keys === null ? connected : keys.identify(String(key));
      const credential = findCredential(headers);
      if (credential === null) return holder;
      if (!credential.fromCookie) return judge(credential, subject);
      const { method = 'POST', client = { host: headers.host } } = subject ?? {};
      assertOwnOrigin({ method, host: client.host, headers }, trustedOrigins);
      return judgeCookie(credential, holder, subject);
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
