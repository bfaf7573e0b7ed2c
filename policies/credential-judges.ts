/** Who says what tokens and sessions are worth: keys of issuers, an identity provider, a session service. */
import type { AuthenticationOptions } from './authentication-options.ts';
import { type CredentialLookup, createCredentialLookup, type LookupOutcome } from './credential-lookup.ts';
import { GatewayError } from './errors.ts';
import { createIntrospection, type IntrospectionOptions } from './introspection.ts';
import { createJwtVerifier } from './jwt.ts';
import type { Viewer } from './request-context.ts';
import { createSessionValidation, type SessionOptions } from './session.ts';
import { parseDurationMs } from './units.ts';

export type LookupKind = 'introspection' | 'session';

export interface JudgeDependencies {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Asks identity providers and session services. */
  readonly fetch?: typeof fetch;
  /** What became of a credential that somebody else judges. */
  readonly onLookup?: (kind: LookupKind, outcome: LookupOutcome) => void;
  /** Nobody can be asked about such credentials. Told once per outage and pause. */
  readonly onUnavailable?: (kind: LookupKind, error: unknown) => void;
}

/** Throws, or rejects, where the token is not valid, or nobody can say. */
export type TokenJudge = (token: string) => Viewer | Promise<Viewer>;

/** JWTs of known issuers are verified here and nowhere else; every other token is asked for, where that is configured. */
export function createTokenJudge(options: AuthenticationOptions, dependencies: JudgeDependencies): TokenJudge | null {
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

function createTokenLookup(options: IntrospectionOptions, dependencies: JudgeDependencies): CredentialLookup {
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

/** Asks the session service; null where there is none. */
export function createSessions(
  options: SessionOptions | undefined,
  dependencies: JudgeDependencies,
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
export function refuseNobody(
  found: Viewer | null | Promise<Viewer | null>,
  message: string,
  challenge: string | undefined,
): Viewer | Promise<Viewer> {
  if (found instanceof Promise) return found.then((viewer) => refuseNobody(viewer, message, challenge));
  if (found === null) throw new GatewayError('UNAUTHENTICATED', message, { challenge });
  return found;
}
