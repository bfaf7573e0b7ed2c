/** `POST /revocations`: withdraws a token, or all credentials of a subject or of an issuer. */
import { GatewayError } from '../policies/errors.ts';
import type { RevokedKey } from '../policies/revocation.ts';
import type { RevocationStore } from '../policies/revocation-redis.ts';
import { assertMayChangeAll } from './admin-access.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';

export interface AdminRevocationOptions {
  /** Undefined where revocation is not configured. */
  readonly store: Pick<RevocationStore, 'add'> | undefined;
  readonly keepForMs: number;
  /** Who revoked what kind of thing; subjects stay out of the log. */
  readonly onRevoked: (author: string, kind: RevokedKey[0], issuer: string) => void;
  readonly now?: () => number;
}

const expected =
  '{ "issuer": ..., and "tokenId" or "subject" or neither, "issuedUntil": time of RFC 3339, by default now }';

/** Takes a revocation. It is in force at every gateway within two seconds. */
export async function postRevocation(options: AdminRevocationOptions, request: AdminRequest): Promise<AdminAnswer> {
  const { store, keepForMs, onRevoked, now = Date.now } = options;
  assertMayChangeAll(request.administrator);
  if (store === undefined) throw new GatewayError('CONFLICT', '`authentication.revocation` is not configured');
  const { key, issuedUntil } = parseBody(request.body, now());
  const expiresAtMs = now() + keepForMs;
  try {
    await store.add({ key, issuedUntil, expiresAtMs });
  } catch (cause) {
    if (cause instanceof RangeError) throw new GatewayError('CONFLICT', `Nothing is revoked: ${cause.message}`);
    throw new GatewayError('SERVICE_UNAVAILABLE', 'Nothing is revoked: Redis cannot be asked', { cause });
  }
  onRevoked(request.administrator.name, key[0], key[1]);
  const body = { revoked: key[0], issuedUntil: toText(issuedUntil * 1_000), until: toText(expiresAtMs) };
  return { status: 201, body };
}

function toText(ms: number): string {
  return new Date(ms).toISOString();
}

function parseBody(body: unknown, nowMs: number): { key: RevokedKey; issuedUntil: number } {
  const given = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const { issuer, tokenId, subject, issuedUntil = toText(nowMs), ...rest } = given;
  const untilMs = typeof issuedUntil === 'string' ? Date.parse(issuedUntil) : Number.NaN;
  const names = [issuer, tokenId ?? 'x', subject ?? 'x'];
  const areTexts = names.every((name) => typeof name === 'string' && name !== '' && name.length <= 1_024);
  const isTooMuch = Object.keys(rest).length > 0 || (tokenId !== undefined && subject !== undefined);
  // A moment to come would refuse those who log in meanwhile.
  if (!areTexts || isTooMuch || !(untilMs >= 0 && untilMs <= nowMs + 1_000)) {
    throw new GatewayError('BAD_REQUEST', `The body must be ${expected}`);
  }
  const key: RevokedKey =
    tokenId !== undefined
      ? ['token', String(issuer), String(tokenId)]
      : subject !== undefined
        ? ['subject', String(issuer), String(subject)]
        : ['issuer', String(issuer)];
  return { key, issuedUntil: Math.floor(untilMs / 1_000) };
}
