/** Access tokens: JWTs (RFC 7519, RFC 9068), verified with the keys of the issuer that they name. */
import { hash } from 'node:crypto';
import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose';
import { buildClaimsViewer } from './claims-viewer.ts';
import { GatewayError } from './errors.ts';
import { createIssuerKeys, type IssuerKeysDependencies } from './issuer-keys.ts';
import { parseJwtForm } from './jwt-form.ts';
import { type JwtIssuer, minSecretBytes, secretAlgorithms } from './jwt-issuer.ts';
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
  readonly maxAgeMs: number;
  /** In lower case, without `application/`; undefined is a token that names none. */
  readonly types: ReadonlySet<string | undefined>;
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
/**
 * RFC 8725 section 3.11: other kinds of JWT (logout tokens, security events, DPoP proofs, our own `viewer+jwt`) name
 * themselves in `typ`. An ID token does not: only the audience, or `typ` in the options, tells it from an access token.
 */
const tokenTypes: ReadonlySet<string | undefined> = new Set([undefined, 'jwt', 'at+jwt']);

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
    const { header, claims } = readForm(token);
    // The unverified `iss` only chooses whose settings judge the token; those demand the same `iss` again.
    const verification = verifications.get(String(claims['iss'] ?? ''));
    if (verification === undefined) throw refuse('The access token is of an unknown issuer');
    if (!verification.types.has(normalizeType(header['typ']))) throw refuse('The JWT is not an access token');
    const atMs = now();
    const payload = await verifySignature(token, verification, atMs);
    const viewer = buildViewer(payload, verification);
    const untilMs = Math.min(findEndMs(payload, verification), atMs + verificationLifetimeMs);
    remember(digest, { viewer, untilMs });
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
    const algorithms = issuer.algorithms ?? ['RS256', 'ES256', 'EdDSA'];
    assertOneFamily(issuer, algorithms);
    verifications.set(issuer.issuer, {
      keys: createIssuerKeys(issuer, dependencies),
      options: {
        algorithms: [...algorithms],
        issuer: issuer.issuer,
        ...(issuer.audience !== undefined && { audience: issuer.audience }),
        clockTolerance: toleranceMs / 1_000,
        requiredClaims: issuer.maxTokenAge === undefined ? ['sub', 'exp'] : ['sub', 'exp', 'iat'],
      },
      toleranceMs,
      maxAgeMs: issuer.maxTokenAge === undefined ? Number.POSITIVE_INFINITY : parseDurationMs(issuer.maxTokenAge),
      types: issuer.typ === undefined ? tokenTypes : new Set([normalizeType(issuer.typ)]),
      scopesClaim: issuer.scopesClaim ?? 'scope',
      rolesClaim: issuer.rolesClaim ?? 'roles',
    });
  }
  return verifications;
}

/**
 * An issuer has a secret or keys, and algorithms of that family only. So no token can choose what it is verified with:
 * a public key is never taken for a secret (RFC 8725 section 2.1).
 */
function assertOneFamily(issuer: JwtIssuer, algorithms: readonly string[]): void {
  const hasSecret = issuer.secret !== undefined || issuer.secretFile !== undefined;
  const hasKeys = issuer.jwks !== undefined || issuer.jwksFile !== undefined || issuer.jwksUri !== undefined;
  if (hasSecret !== algorithms.every((one) => secretAlgorithms.has(one)) || (hasSecret && hasKeys)) {
    throw new TypeError(`jwt issuer ${issuer.issuer} mixes algorithms with a secret and with keys`);
  }
  if (!hasSecret && algorithms.some((one) => secretAlgorithms.has(one))) {
    throw new TypeError(`jwt issuer ${issuer.issuer} has no secret for ${algorithms.join(', ')}`);
  }
  if (issuer.secret !== undefined && Buffer.byteLength(issuer.secret) < minSecretBytes(algorithms)) {
    throw new TypeError(`the secret of jwt issuer ${issuer.issuer} is too short for ${algorithms.join(', ')}`);
  }
}

/** Whose token it says it is, read as leniently as anybody might read it. */
function readIssuer(token: string): string {
  return decodeJwt(token).iss ?? '';
}

function readForm(token: string): ReturnType<typeof parseJwtForm> {
  try {
    return parseJwtForm(token);
  } catch (error) {
    throw refuse('The access token is not a JWT', error);
  }
}

/** RFC 7515 section 4.1.9: `application/` may be left out, and the case of media types does not matter. */
function normalizeType(type: unknown): string | undefined {
  return typeof type === 'string' ? type.toLowerCase().replace(/^application\//, '') : undefined;
}

async function verifySignature(token: string, verification: IssuerVerification, atMs: number): Promise<JWTPayload> {
  const { payload } = await jwtVerify(token, verification.keys, {
    ...verification.options,
    currentDate: new Date(atMs),
  }).catch((error: unknown) => {
    if (error instanceof errors.JWTExpired) throw refuse('The access token has expired', error);
    if (error instanceof errors.JOSEError) throw refuse('The access token is not valid', error);
    throw error;
  });
  if (payload.iat !== undefined && payload.iat * 1_000 > atMs + verification.toleranceMs) {
    throw refuse('The access token is of the future');
  }
  if (findEndMs(payload, verification) <= atMs) throw refuse('The access token is too old');
  return payload;
}

/** From when on the token counts no more: by its own account, or because it was issued too long ago. */
function findEndMs({ exp = 0, iat = 0 }: JWTPayload, { toleranceMs, maxAgeMs }: IssuerVerification): number {
  return Math.min(exp * 1_000, iat * 1_000 + maxAgeMs) + toleranceMs;
}

/**
 * RFC 6750 section 3.1. Only code and text of jose's error are kept for the log: the error itself carries the claims.
 */
function refuse(message: string, error?: unknown): GatewayError {
  const said = error instanceof errors.JOSEError ? `${error.code}: ${error.message}` : undefined;
  const cause = said ?? (error instanceof TypeError ? error.message : undefined);
  return new GatewayError('UNAUTHENTICATED', message, {
    challenge: `Bearer error="invalid_token", error_description="${message}"`,
    ...(cause !== undefined && { cause: new Error(cause) }),
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
