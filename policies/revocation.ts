/** Credentials that are withdrawn before they expire: a list that is looked at with every request, and never waited for. */
import Type from 'typebox';
import { GatewayError } from './errors.ts';
import type { Viewer } from './request-context.ts';
import { Duration, OneOf } from './units.ts';

export const RevocationOptions = Type.Object(
  {
    keepFor: Type.Optional(
      Type.Unsafe<string>({
        ...Duration,
        default: '1d',
        description: 'How long a revocation is kept: at least as long as the longest credential lives.',
      }),
    ),
    onStoreError: Type.Optional(
      OneOf(['allow', 'deny'], {
        default: 'allow',
        description:
          'When Redis has not been heard of for 5 s. `allow`: what is known counts on. `deny`: tokens and sessions get 503, as one could be revoked meanwhile.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type RevocationOptions = Type.Static<typeof RevocationOptions>;

/**
 * What is revoked: one token, or all of a subject or of an issuer that were issued up to a moment. The issuer is that of the
 * viewer: `iss`, or `session`, or `introspection` where the answer named none.
 */
export type RevokedKey =
  | readonly ['token', issuer: string, tokenId: string]
  | readonly ['subject', issuer: string, subject: string]
  | readonly ['issuer', issuer: string];

export interface Revocation {
  readonly key: RevokedKey;
  /** Seconds since 1970, as in `iat`: what was issued later is not meant. Of no account for one token. */
  readonly issuedUntil: number;
  /** Milliseconds since 1970 at which it is forgotten. */
  readonly expiresAtMs: number;
}

export interface RevocationCheck {
  /** Why a viewer may not pass; null when it may. */
  check(viewer: Viewer): GatewayError | null;
}

export interface RevocationList extends RevocationCheck {
  add(revocations: readonly Revocation[]): void;
  /** The list is what the store says, as of now. */
  confirm(): void;
  readonly size: number;
}

/** How long the store may not be heard of. */
const staleAfterMs = 5_000;

/** The identity of a revocation: no two keys have the same text. */
export function formatRevokedKey(key: RevokedKey): string {
  return JSON.stringify(key);
}

/** Creates an empty list. It is stale until it is confirmed for the first time. */
export function createRevocationList(
  { onStoreError = 'allow' }: RevocationOptions,
  now: () => number = Date.now,
): RevocationList {
  const entries = new Map<string, Revocation>();
  let confirmedAtMs = Number.NEGATIVE_INFINITY;
  let sweepAtMs = 0;

  function sweep(): void {
    if (now() < sweepAtMs) return;
    sweepAtMs = now() + 60_000;
    for (const [id, { expiresAtMs }] of entries) if (expiresAtMs <= now()) entries.delete(id);
  }

  function isMeant(key: RevokedKey, issuedAt: unknown): boolean {
    const entry = entries.get(formatRevokedKey(key));
    if (entry === undefined || entry.expiresAtMs <= now()) return false;
    // Who does not say when it was issued may have been before.
    return key[0] === 'token' || typeof issuedAt !== 'number' || issuedAt <= entry.issuedUntil;
  }

  function isRevoked({ issuer = '', id, claims }: Viewer): boolean {
    const { jti, iat } = claims;
    return (
      (typeof jti === 'string' && isMeant(['token', issuer, jti], iat)) ||
      isMeant(['subject', issuer, id], iat) ||
      isMeant(['issuer', issuer], iat)
    );
  }

  return {
    get size() {
      return entries.size;
    },
    add(revocations) {
      for (const revocation of revocations) entries.set(formatRevokedKey(revocation.key), revocation);
      sweep();
    },
    confirm() {
      confirmedAtMs = now();
      sweep();
    },
    check(viewer) {
      if (viewer.kind === 'api-key') return null;
      if (entries.size > 0 && isRevoked(viewer)) return refuse();
      return onStoreError === 'deny' && now() - confirmedAtMs > staleAfterMs
        ? new GatewayError('SERVICE_UNAVAILABLE', 'Revocations cannot be read', { retryAfterSeconds: 1 })
        : null;
    },
  };
}

function refuse(): GatewayError {
  const message = 'The credential is revoked';
  const challenge = `Bearer error="invalid_token", error_description="${message}"`;
  return new GatewayError('UNAUTHENTICATED', message, { challenge });
}
