/** Revocations shared by every gateway that asks one Redis. */
import { hash } from 'node:crypto';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { formatRevokedKey, type Revocation, type RevocationList, type RevokedKey } from './revocation.ts';
import { type FollowOptions, followStore, type StoreFollower } from './store-following.ts';

/** How a connection has to behave that revocations are read and written over. */
export const revocationConnection = {
  connectTimeout: 500,
  // A command waits that long for a connection as well.
  commandTimeout: 1_000,
  maxRetriesPerRequest: 1,
  autoResendUnfulfilledCommands: false,
  socketTimeout: 5_000,
  retryStrategy: (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 10), 1_000),
} satisfies RedisOptions;

export interface RevocationStore {
  /** Resolves when Redis has it. Of two about the same, the one that means more and lasts longer counts. */
  add(revocation: Revocation): Promise<void>;
  /** What was added after a position, oldest first, and the position from which to read on. */
  read(from: Position): Promise<Page>;
  /** Those in force, newest first: at most so many, from behind a position on. */
  list(limit: number, before?: number): Promise<ListedPage>;
  /** Takes one back. Resolves with what it was when Redis has that; with null when there is none of that id. */
  remove(id: string): Promise<Revocation | null>;
}

/** Some of those in force. It may hold fewer than were asked for although there are more. */
export interface ListedPage {
  readonly revocations: readonly (Revocation & { readonly id: string })[];
  /** Where to go on; null at the end. */
  readonly next: number | null;
}

/** A name for a revocation that says nothing of whom it is about. */
export function buildRevocationId(key: RevokedKey): string {
  return hash('sha256', formatRevokedKey(key), 'base64url').slice(0, 22);
}

/** `epoch` names the life of the data: another one after Redis has lost it. */
export interface Position {
  readonly epoch: string;
  readonly version: number;
}

export interface Page extends Position {
  readonly revocations: readonly Revocation[];
  readonly isLast: boolean;
}

export const firstPosition: Position = { epoch: '', version: 0 };

const pageSize = 5_000;
const scanSize = 1_000;
/** Bounds the memory of Redis and of each gateway: to revoke so many subjects, revoke the issuer. */
const maxRevocations = 200_000;

/**
 * KEYS: meta (epoch, version), entries (key -> "until expiry"), changes (key by version), expiries (key by time).
 * ARGV: a new epoch, key, issued until, expires at in ms, now in ms.
 */
const addScript = `
local gone = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[5], 'LIMIT', 0, 100)
for _, key in ipairs(gone) do
  redis.call('HDEL', KEYS[2], key) redis.call('ZREM', KEYS[3], key) redis.call('ZREM', KEYS[4], key)
end
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1])
local known = redis.call('HGET', KEYS[2], ARGV[2])
if not known and redis.call('HLEN', KEYS[2]) >= ${maxRevocations} then return 0 end
local issued, expires = tonumber(ARGV[3]), tonumber(ARGV[4])
if known then
  local i, e = string.match(known, '^(%d+) (%d+)$')
  issued, expires = math.max(issued, tonumber(i)), math.max(expires, tonumber(e))
end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f %.0f', issued, expires))
redis.call('ZADD', KEYS[3], version, ARGV[2])
redis.call('ZADD', KEYS[4], expires, ARGV[2])
return 1
`;

/** ARGV: epoch and version that are known. Answers epoch, version read to, whether there is more, keys and values. */
const readScript = `
local epoch = redis.call('HGET', KEYS[1], 'epoch') or ''
local since = epoch == ARGV[1] and tonumber(ARGV[2]) or 0
local found = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, ${pageSize})
local rows, version = {}, since
for i = 1, #found, 2 do
  rows[#rows + 1] = found[i]
  rows[#rows + 1] = redis.call('HGET', KEYS[2], found[i]) or ''
  version = found[i + 1]
end
return {epoch, tostring(version), #found == ${2 * pageSize} and 1 or 0, rows}
`;

/** What was taken back: expired since 1970, so that whoever reads it holds it for over, and its past adds nothing to it. */
const takenBack = '0 1';

/** ARGV: key, now in ms. Answers what was taken back. It stays in its place until it would have expired, to be read by all. */
const removeScript = `
local known = redis.call('HGET', KEYS[2], ARGV[1])
local expires = known and string.match(known, '^%d+ (%d+)$')
if not expires or tonumber(expires) <= tonumber(ARGV[2]) then return false end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[2], ARGV[1], '${takenBack}')
redis.call('ZADD', KEYS[3], version, ARGV[1])
return known
`;

/** ARGV: position behind which to begin (an exclusive bound), how many. Answers keys, values and positions, newest first. */
const listScript = `
local found = redis.call('ZREVRANGEBYSCORE', KEYS[3], ARGV[1], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local rows = {}
for i = 1, #found, 2 do
  rows[#rows + 1] = found[i]
  rows[#rows + 1] = redis.call('HGET', KEYS[2], found[i]) or ''
  rows[#rows + 1] = found[i + 1]
end
return rows
`;

interface Scripted {
  selvageListRevocations(...values: (string | number)[]): Promise<string[]>;
  selvageTakeBack(...values: (string | number)[]): Promise<string | null>;
  selvageRevoke(...values: (string | number)[]): Promise<number>;
  selvageRevocations(...values: (string | number)[]): Promise<[string, string, number, string[]]>;
}

/** Creates the store over a connection that stays its owner's. */
export function createRedisRevocationStore(
  redis: Redis | Cluster,
  keyPrefix: string,
  now: () => number = Date.now,
): RevocationStore {
  const keys = ['meta', 'entries', 'changes', 'expiries'].map((name) => `${keyPrefix}{revocations}:${name}`);
  redis.defineCommand('selvageRevoke', { lua: addScript, numberOfKeys: 4 });
  redis.defineCommand('selvageRevocations', { lua: readScript, numberOfKeys: 4 });
  redis.defineCommand('selvageListRevocations', { lua: listScript, numberOfKeys: 4 });
  redis.defineCommand('selvageTakeBack', { lua: removeScript, numberOfKeys: 4 });
  const scripted = redis as unknown as Scripted;

  /** Its key is not kept by id: this is rare, and goes through all of them in steps that hold nobody up. */
  async function findKey(id: string): Promise<string | undefined> {
    let cursor = '0';
    do {
      const [next, rows] = await redis.hscan(keys[1] ?? '', cursor, 'COUNT', scanSize);
      const found = rows.find((row, i) => i % 2 === 0 && buildRevocationId(JSON.parse(row) as RevokedKey) === id);
      if (found !== undefined) return found;
      cursor = next;
    } while (cursor !== '0');
    return undefined;
  }

  return {
    async list(limit, before) {
      const bound = before === undefined ? '+inf' : `(${before}`;
      const rows = await scripted.selvageListRevocations(...keys, bound, limit);
      const revocations = [];
      for (let i = 0; i + 2 < rows.length; i += 3) {
        const revocation = parseRevocation(rows[i], rows[i + 1]);
        if (revocation === null || revocation.expiresAtMs <= now()) continue;
        revocations.push({ id: buildRevocationId(revocation.key), ...revocation });
      }
      return { revocations, next: rows.length === 3 * limit ? Number(rows.at(-1)) : null };
    },
    async remove(id) {
      const key = await findKey(id);
      const was = key === undefined ? null : await scripted.selvageTakeBack(...keys, key, now());
      return was === null ? null : parseRevocation(key, was);
    },
    async add({ key, issuedUntil, expiresAtMs }) {
      const epoch = crypto.randomUUID();
      const done = await scripted.selvageRevoke(...keys, epoch, formatRevokedKey(key), issuedUntil, expiresAtMs, now());
      if (done !== 1) throw new RangeError(`there are ${maxRevocations} revocations already`);
    },
    async read({ epoch, version }) {
      const [nowEpoch, readTo, more, rows] = await scripted.selvageRevocations(...keys, epoch, version);
      const revocations: Revocation[] = [];
      for (let i = 0; i + 1 < rows.length; i += 2) {
        const revocation = parseRevocation(rows[i], rows[i + 1]);
        if (revocation !== null) revocations.push(revocation);
      }
      return { epoch: nowEpoch, version: Number(readTo), isLast: more === 0, revocations };
    },
  };
}

/** Null when it expired between two steps. */
function parseRevocation(key = '', value = ''): Revocation | null {
  const [issuedUntil, expiresAtMs] = value.split(' ').map(Number);
  if (issuedUntil === undefined || expiresAtMs === undefined) return null;
  return { key: JSON.parse(key) as RevokedKey, issuedUntil, expiresAtMs };
}

/**
 * Keeps a list up to date by asking every second for what is new. Where Redis lost everything, what the list holds stays
 * until it expires: forgetting a revocation would be the worse mistake.
 */
export function followRevocations(store: RevocationStore, list: RevocationList, options: FollowOptions): StoreFollower {
  let position = firstPosition;
  return followStore(async (isClosed) => {
    for (let isLast = false; !isLast && !isClosed(); ) {
      const page = await store.read(position);
      list.add(page.revocations);
      ({ isLast } = page);
      position = page;
    }
    list.confirm();
  }, options);
}
