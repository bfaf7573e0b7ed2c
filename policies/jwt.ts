/** Access tokens: JWTs (RFC 7519, RFC 9068), verified with the keys of the issuer that they name. */
import { hash } from 'node:crypto';
import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose';
import { buildClaimsViewer } from './claims-viewer.ts';
import { GatewayError } from './errors.ts';
import { createIssuerKeys, type IssuerKeysDependencies } from './issuer-keys.ts';
import type { JwtIssuer } from './jwt-issuer.ts';
import type { Viewer } from './request-context.ts';
import { parseDurationMs } from './units.ts';

export interface JwtVerifier {
  /** Whether the token is a JWT that says it is of one of these issuers: then nobody else shall judge it. */
  claims(token: string): boolean;
  /** The viewer that the token stands for; without a promise if the token was verified a moment ago. */
  verify(token: string): Viewer | Promise<Viewer>;
}

interface IssuerVerification {
  readonly keys: JWTVerifyGetKey;
  readonly options: JWTVerifyOptions;
  readonly toleranceMs: number;
  readonly scopesClaim: string;
  readonly rolesClaim: string;
}

interface VerifiedToken {
  readonly viewer: Viewer;
  readonly untilMs: number;
}

/** Longest token that is looked at. */
const maxTokenBytes = 8_192;
/** How many verified tokens are remembered. */
const maxVerifiedTokens = 10_000;
/**
 * How long a verification counts at most, even if the token lives longer: within this time a key that the issuer has
 * withdrawn stops working here too. Verifying once a minute costs nothing against verifying with each request.
 */
const verificationLifetimeMs = 60_000;
/** RFC 8725 section 3.11: other kinds of JWT (logout tokens, security events, DPoP proofs) name themselves in `typ`. */
const tokenTypes = new Set(['jwt', 'at+jwt', 'application/at+jwt', 'application/jwt']);

/** Builds the verifier for the tokens of several issuers. */
export function createJwtVerifier(issuers: readonly JwtIssuer[], dependencies: IssuerKeysDependencies): JwtVerifier {
  const { now } = dependencies;
  const verifications = buildVerifications(issuers, dependencies);
  const verified = new Map<string, VerifiedToken>();

  function recall(digest: string): Viewer | undefined {
    const entry = verified.get(digest);
    if (entry === undefined) return undefined;
    verified.delete(digest);
    if (now() >= entry.untilMs) return undefined;
    // Goes to the end of the map, so that its first entry is always the one used longest ago.
    verified.set(digest, entry);
    return entry.viewer;
  }

  function remember(digest: string, entry: VerifiedToken): void {
    const oldest = verified.size >= maxVerifiedTokens ? verified.keys().next().value : undefined;
    if (oldest !== undefined) verified.delete(oldest);
    verified.set(digest, entry);
  }

  async function verifyAnew(token: string, digest: string): Promise<Viewer> {
    // The unverified `iss` only chooses whose settings judge the token; those demand the same `iss` again.
    const verification = verifications.get(readIssuer(token));
    if (verification === undefined) throw refuse('The access token is of an unknown issuer');
    const atMs = now();
    const payload = await verifySignature(token, verification, atMs);
    const viewer = buildViewer(payload, verification);
    const expiresAtMs = (payload.exp ?? 0) * 1_000 + verification.toleranceMs;
    remember(digest, { viewer, untilMs: Math.min(expiresAtMs, atMs + verificationLifetimeMs) });
    return viewer;
  }

  return {
    claims(token) {
      try {
        return verifications.has(readIssuer(token));
      } catch {
        return false;
      }
    },
    verify(token) {
      if (token.length > maxTokenBytes) throw refuse('The access token is too long');
      // By digest: the memory of the process then holds no usable token, and a key is short whatever the client sends.
      const digest = hash('sha256', token, 'base64');
      return recall(digest) ?? verifyAnew(token, digest);
    },
  };
}

function buildVerifications(issuers: readonly JwtIssuer[], dependencies: IssuerKeysDependencies) {
  const verifications = new Map<string, IssuerVerification>();
  for (const issuer of issuers) {
    if (verifications.has(issuer.issuer)) throw new TypeError(`jwt issuer ${issuer.issuer} is configured twice`);
    const toleranceMs = parseDurationMs(issuer.clockTolerance ?? '5s');
    verifications.set(issuer.issuer, {
      keys: createIssuerKeys(issuer, dependencies),
      options: {
        algorithms: issuer.algorithms ?? ['RS256', 'ES256', 'EdDSA'],
        issuer: issuer.issuer,
        ...(issuer.audience !== undefined && { audience: issuer.audience }),
        clockTolerance: toleranceMs / 1_000,
        requiredClaims: ['sub', 'exp'],
      },
      toleranceMs,
      scopesClaim: issuer.scopesClaim ?? 'scope',
      rolesClaim: issuer.rolesClaim ?? 'roles',
    });
  }
  return verifications;
}

function readIssuer(token: string): string {
  try {
    return decodeJwt(token).iss ?? '';
  } catch (error) {
    throw refuse('The access token is not a JWT', error);
  }
}

async function verifySignature(token: string, verification: IssuerVerification, atMs: number): Promise<JWTPayload> {
  try {
    const currentDate = new Date(atMs);
    const { payload, protectedHeader } = await jwtVerify(token, verification.keys, {
      ...verification.options,
      currentDate,
    });
    if (protectedHeader.typ === undefined || tokenTypes.has(protectedHeader.typ.toLowerCase())) return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw refuse('The access token has expired', error);
    if (error instanceof errors.JOSEError) throw refuse('The access token is not valid', error);
    throw error;
  }
  throw refuse('The JWT is not an access token');
}

/**
 * RFC 6750 section 3.1. Only code and text of jose's error are kept for the log: the error itself carries the claims.
 */
function refuse(message: string, error?: unknown): GatewayError {
  const cause = error instanceof errors.JOSEError ? new Error(`${error.code}: ${error.message}`) : undefined;
  return new GatewayError('UNAUTHENTICATED', message, {
    challenge: `Bearer error="invalid_token", error_description="${message}"`,
    cause,
  });
}

function buildViewer(payload: JWTPayload, verification: IssuerVerification): Viewer {
  if (typeof payload.sub !== 'string' || payload.sub === '') throw refuse('The access token names no subject');
  return buildClaimsViewer({
    id: payload.sub,
    kind: 'jwt',
    issuer: payload.iss,
    scopes: payload[verification.scopesClaim],
    roles: payload[verification.rolesClaim],
    claims: payload,
  });
}
