/** The scripts of the registry as typed calls on a connection. */
import type { Cluster, Redis } from 'ioredis';
import {
  expiredScript,
  extendScript,
  leasesScript,
  readScript,
  redisFormat,
  redisKeys,
  renewScript,
  saveScript,
} from './redis-scripts.ts';
import { StoreFormatError } from './store.ts';

type Argument = string | number;

/** What changed since the state that was named. */
export interface RedisReading {
  readonly revision: number;
  readonly stamp: string;
  readonly mode: 'same' | 'delta' | 'full';
  /** Member and document; an empty document is a service or a policy that is gone. */
  readonly documents: readonly (readonly [string, string])[];
  readonly auditCount: number;
  readonly audit: readonly string[];
  readonly historyCount: number;
  readonly history: readonly string[];
  readonly historyLength: number;
}

export interface RedisCommands {
  /** Null when there is no registry yet. */
  read(stamp: string, auditCount: number, historyCount: number): Promise<RedisReading | null>;
  /** The stamp of the state that is stored. */
  readStamp(): Promise<string | null>;
  /** False when the state is another one by now. */
  save(values: readonly Argument[]): Promise<boolean>;
  readTexts(hashes: readonly string[]): Promise<readonly (string | null)[]>;
  renewLeases(values: readonly Argument[]): Promise<number>;
  extendLeases(values: readonly Argument[]): Promise<number>;
  dropLeases(members: readonly string[]): Promise<unknown>;
  readExpired(): Promise<readonly [number, readonly string[]]>;
  readLeases(): Promise<readonly [number, readonly string[]]>;
}

/** Channel on which a gateway says that it saved something. */
export function buildChannel(keyPrefix: string): string {
  return `${keyPrefix}registry:changes`;
}

export function createRedisCommands(redis: Redis | Cluster, keyPrefix: string): RedisCommands {
  const keyOf = (name: string) => `${keyPrefix}{registry}:${name}`; // the hash tag keeps them in one slot
  const keys = redisKeys.map(keyOf);
  const leases = [keyOf('leases')];
  const define = (name: string, lua: string, on: readonly string[]) => {
    redis.defineCommand(name, { lua, numberOfKeys: on.length });
    const commands = redis as unknown as Record<string, (...values: readonly Argument[]) => Promise<unknown>>;
    return (...values: readonly Argument[]): Promise<unknown> => {
      const command = commands[name];
      return command === undefined ? Promise.reject(new TypeError(name)) : command.call(redis, ...on, ...values);
    };
  };
  const read = define('selvageRead', readScript, keys);
  const save = define('selvageSave', saveScript, keys);
  const renew = define('selvageRenew', renewScript, leases);
  const extend = define('selvageExtend', extendScript, leases);
  const expired = define('selvageExpired', expiredScript, leases);
  const list = define('selvageLeases', leasesScript, leases);

  return {
    async read(known, audits, histories) {
      const reply = (await read(known, audits, histories)) as unknown[];
      if (reply.length === 0) return null;
      assertFormat(reply[0]);
      const [, revision, stamp, mode, names, documents, auditCount, audit, historyCount, history, historyLength] =
        reply;
      if (stamp === null || stamp === undefined) return null;
      const texts = documents as string[];
      return {
        revision: Number(revision),
        stamp: String(stamp),
        mode: mode as RedisReading['mode'],
        documents: (names as string[]).map((name, index) => [name, texts[index] ?? ''] as const),
        auditCount: Number(auditCount),
        audit: audit as string[],
        historyCount: Number(historyCount),
        history: history as string[],
        historyLength: Number(historyLength),
      };
    },
    readStamp: () => redis.hget(keyOf('meta'), 'stamp'),
    async save(values) {
      const [format, done] = (await save(...values)) as unknown[];
      assertFormat(format);
      return done === 1;
    },
    readTexts: (hashes) => redis.hmget(keyOf('texts'), ...hashes),
    renewLeases: async (values) => Number(await renew(...values)),
    extendLeases: async (values) => Number(await extend(...values)),
    dropLeases: (members) => redis.zrem(keyOf('leases'), ...members),
    readExpired: async () => (await expired()) as [number, string[]],
    readLeases: async () => (await list()) as [number, string[]],
  };
}

function assertFormat(format: unknown): void {
  if (format === redisFormat) return;
  const message = `the registry in Redis has the format ${String(format)}; this version knows ${redisFormat}: upgrade, or use another keyPrefix`;
  throw new StoreFormatError(message);
}
