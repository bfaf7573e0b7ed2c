/** `/revocations`: withdraws a token, or all credentials of a subject or of an issuer; lists what is withdrawn; takes it back. */
import { GatewayError } from '../policies/errors.ts';
import type { Revocation, RevokedKey } from '../policies/revocation.ts';
import { buildRevocationId, type RevocationStore } from '../policies/revocation-redis.ts';
import type { Registry } from '../subgraphs/registry.ts';
import { assertMayChangeAll } from './admin-access.ts';
import { authorOf, ok, parameter } from './admin-request.ts';
import type { AdminAnswer, AdminRequest } from './admin-server.ts';

export interface AdminRevocationOptions {
  /** Undefined where revocation is not configured. */
  readonly store: Pick<RevocationStore, 'add' | 'list' | 'remove'> | undefined;
  readonly keepForMs: number;
  /** Notes in the audit what was done. Subjects stay out of it, as out of the log. */
  readonly audited: Registry<unknown>['audited'];
  /** Who revoked, or took back, what kind of thing. */
  readonly onChange: (author: string, change: 'made' | 'taken back', key: RevokedKey) => void;
  readonly now?: () => number;
}

const pageSize = 100;
const maxPageSize = 1_000;
const expected =
  '{ "issuer": ..., and "tokenId" or "subject" or neither, "issuedUntil": time of RFC 3339, by default now }';

/** Takes a revocation. It is in force at every gateway within two seconds. */
export async function postRevocation(options: AdminRevocationOptions, request: AdminRequest): Promise<AdminAnswer> {
  const { keepForMs, audited, onChange, now = Date.now } = options;
  const store = requireStore(options, request);
  const { key, issuedUntil } = parseBody(request.body, now());
  const expiresAtMs = now() + keepForMs;
  const revocation = { key, issuedUntil, expiresAtMs };
  const id = buildRevocationId(key);
  await audited({ action: 'revocation.put', targets: [`${key[0]}/${id}`] }, authorOf(request), () =>
    asked('Nothing is revoked', () => store.add(revocation)),
  );
  onChange(request.administrator.name, 'made', key);
  return {
    status: 201,
    body: { id, revoked: key[0], issuedUntil: toText(issuedUntil * 1_000), until: toText(expiresAtMs) },
  };
}

/** Lists what is in force, the newest first. */
export async function listRevocations(options: AdminRevocationOptions, request: AdminRequest): Promise<AdminAnswer> {
  const store = requireStore(options, request);
  const limit = parseNumber(request, 'limit', maxPageSize) ?? pageSize;
  const before = parseNumber(request, 'before', Number.MAX_SAFE_INTEGER);
  const { revocations, next } = await asked('Revocations cannot be listed', () => store.list(limit, before));
  return ok({ revocations: revocations.map(describe), ...(next !== null && { next: String(next) }) });
}

/** Takes a revocation back. What it withdrew counts again at every gateway within two seconds. */
export async function deleteRevocation(options: AdminRevocationOptions, request: AdminRequest): Promise<AdminAnswer> {
  const store = requireStore(options, request);
  const id = parameter(request, 'id');
  const taken = await options.audited({ action: 'revocation.delete', targets: [id] }, authorOf(request), async () => {
    const removed = await asked('Nothing is taken back', () => store.remove(id));
    if (removed === null) throw new GatewayError('ROUTE_NOT_FOUND', `There is no revocation ${JSON.stringify(id)}`);
    return removed;
  });
  options.onChange(request.administrator.name, 'taken back', taken.key);
  return { status: 204 };
}

function requireStore({ store }: AdminRevocationOptions, { administrator }: AdminRequest) {
  assertMayChangeAll(administrator, 'revocations');
  if (store === undefined) throw new GatewayError('CONFLICT', '`authentication.revocation` is not configured');
  return store;
}

async function asked<T>(failed: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof RangeError) throw new GatewayError('CONFLICT', `${failed}: ${cause.message}`);
    throw new GatewayError('SERVICE_UNAVAILABLE', `${failed}: Redis cannot be asked`, { cause });
  }
}

function describe({ id, key, issuedUntil, expiresAtMs }: Revocation & { readonly id: string }) {
  const [revoked, issuer, name] = key;
  return {
    id,
    revoked,
    issuer,
    ...(revoked === 'token' && { tokenId: name }),
    ...(revoked === 'subject' && { subject: name }),
    issuedUntil: toText(issuedUntil * 1_000),
    until: toText(expiresAtMs),
  };
}

function parseNumber({ query }: AdminRequest, name: string, maximum: number): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (/^\d{1,16}$/.test(text) && value >= 1 && value <= maximum) return value;
  throw new GatewayError('BAD_REQUEST', `\`${name}\` must be a whole number from 1 to ${maximum}`);
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
