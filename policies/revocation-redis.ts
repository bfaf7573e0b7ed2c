/** Revocations shared by every gateway that asks one Redis. */
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

interface Scripted {
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
  const scripted = redis as unknown as Scripted;
  return {
    async add({ key, issuedUntil, expiresAtMs }) {
      const epoch = crypto.randomUUID();
      const done = await scripted.selvageRevoke(...keys, epoch, formatRevokedKey(key), issuedUntil, expiresAtMs, now());
      if (done !== 1) throw new RangeError(`there are ${maxRevocations} revocations already`);
    },
    async read({ epoch, version }) {
      const [nowEpoch, readTo, more, rows] = await scripted.selvageRevocations(...keys, epoch, version);
      const revocations: Revocation[] = [];
      for (let i = 0; i + 1 < rows.length; i += 2) {
        const [issuedUntil, expiresAtMs] = (rows[i + 1] ?? '').split(' ').map(Number);
        if (issuedUntil === undefined || expiresAtMs === undefined) continue;
        revocations.push({ key: JSON.parse(rows[i] ?? '') as RevokedKey, issuedUntil, expiresAtMs });
      }
      return { epoch: nowEpoch, version: Number(readTo), isLast: more === 0, revocations };
    },
  };
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
