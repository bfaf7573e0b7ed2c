/**
 * Leases in Redis: one sorted set of times of expiry, by the clock of Redis. Any gateway takes a heartbeat; all see it.
 * While Redis cannot be asked nothing runs out, and that time is given back to everyone afterwards.
 */
import type { Clock, Timer } from './clock.ts';
import { buildLeaseKey, defaultLeaseSeconds, type ExpiredLease, type Leases } from './leases.ts';
import type { Log } from './log.ts';
import type { RedisCommands } from './redis-commands.ts';

export interface RedisLeasesOptions {
  readonly commands: RedisCommands;
  readonly onExpire: (expired: readonly ExpiredLease[]) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Heartbeats are gathered for so long and written together. */
const flushMs = 100;
/** How often it is asked who ran out. */
const tickMs = 1_000;
/** How often everything is read: what others renewed, and what is left of instances that are gone. */
const readMs = 5_000;
/** So long without an answer is an outage: of Redis, of the network, or of this process. */
const outageMs = 2_500;
/** Leases in one command. */
const batch = 1_000;

interface Tenancy extends ExpiredLease {
  readonly seconds: number;
}

export function createRedisLeases({ commands, onExpire, clock, log }: RedisLeasesOptions): Leases {
  /** The leased instances of the snapshot. */
  let tenants = new Map<string, Tenancy>();
  /** Times of expiry as this gateway knows them, in milliseconds of Redis. */
  const expiries = new Map<string, number>();
  let pending = new Map<string, number>();
  let strangers = new Set<string>();
  let redisNowMs = 0;
  let answeredAtMs = Number.NEGATIVE_INFINITY;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let flushTimer: Timer | null = null;
  let tickTimer: Timer | null = null;
  let disposed = false;

  /** What the clock of Redis shows. It stands still here as long as Redis cannot be asked. */
  function estimateNowMs(): number {
    return redisNowMs + Math.min(outageMs, Math.max(0, clock.now() - answeredAtMs));
  }

  function noteTime(nowMs: number): void {
    redisNowMs = nowMs;
    answeredAtMs = clock.now();
  }

  function renew(service: string, instance: string, seconds: number): void {
    const key = buildLeaseKey(service, instance);
    pending.set(key, seconds);
    if (redisNowMs > 0) expiries.set(key, estimateNowMs() + seconds * 1_000);
    flushTimer ??= clock.setTimer(() => void flush().catch(() => {}), flushMs);
  }

  async function flush(): Promise<void> {
    flushTimer?.cancel();
    flushTimer = null;
    const renewals = pending;
    pending = new Map();
    try {
      for (const part of split([...renewals])) {
        const nowMs = await commands.renewLeases(part.flatMap(([key, seconds]) => [key, seconds * 1_000]));
        for (const [key, seconds] of part) expiries.set(key, nowMs + seconds * 1_000);
      }
    } catch (error) {
      // Kept until Redis is back. A later heartbeat of the same instance counts more.
      for (const [key, seconds] of renewals) if (!pending.has(key)) pending.set(key, seconds);
      throw error;
    }
  }

  async function tick(): Promise<void> {
    const silentMs = clock.now() - answeredAtMs;
    if (silentMs > outageMs) await recover(silentMs);
    if (pending.size > 0) await flush();
    if (clock.now() - readAtMs >= readMs) await read();
    const [nowMs, keys] = await commands.readExpired();
    noteTime(nowMs);
    for (const key of keys) expiries.set(key, Math.min(expiries.get(key) ?? nowMs, nowMs));
    const expired = keys.flatMap((key) => tenants.get(key) ?? []);
    if (expired.length > 0 && !disposed) onExpire(expired);
  }

  /** Before anybody runs out: heartbeats that came meanwhile, and the time that was lost. */
  async function recover(silentMs: number): Promise<void> {
    const isFirst = redisNowMs === 0;
    if (!isFirst) log.info('leases go on after an outage', { outageSeconds: Math.round(silentMs / 1_000) });
    await flush();
    const owed = [...tenants].map(([key, { seconds }]): [string, number, number] => {
      const known = expiries.get(key);
      return [key, isFirst || known === undefined ? 0 : Math.ceil(known + silentMs), seconds * 1_000];
    });
    for (const part of split(owed)) await commands.extendLeases(part.flat());
    await read();
  }

  async function read(): Promise<void> {
    const [nowMs, flat] = await commands.readLeases();
    noteTime(nowMs);
    readAtMs = clock.now();
    expiries.clear();
    for (let index = 0; index < flat.length; index += 2) expiries.set(flat[index] ?? '', Number(flat[index + 1]));
    await adopt();
    await dropStrangers();
  }

  /** An instance without a lease gets a full one: it was registered with one, and Redis may have lost it. */
  async function adopt(): Promise<void> {
    const orphans = [...tenants].filter(([key]) => !expiries.has(key) && !pending.has(key));
    for (const part of split(orphans)) {
      const nowMs = await commands.extendLeases(part.flatMap(([key, { seconds }]) => [key, 0, seconds * 1_000]));
      for (const [key, { seconds }] of part) expiries.set(key, nowMs + seconds * 1_000);
    }
  }

  /** Leases of instances that are gone. Seen twice, because this gateway may be behind another one. */
  async function dropStrangers(): Promise<void> {
    const unknown = new Set([...expiries.keys()].filter((key) => !tenants.has(key)));
    const gone = [...unknown].filter((key) => strangers.has(key));
    strangers = unknown;
    for (const part of split(gone)) await commands.dropLeases(part);
    for (const key of gone) expiries.delete(key);
  }

  async function run(): Promise<void> {
    await tick().catch(() => {}); // the store says that Redis cannot be asked
    if (!disposed) tickTimer = clock.setTimer(() => void run(), tickMs);
  }

  tickTimer = clock.setTimer(() => void run(), 0);

  return {
    renew,
    remainingSeconds(service, instance) {
      const key = buildLeaseKey(service, instance);
      const expiresAtMs = expiries.get(key);
      if (expiresAtMs !== undefined) return Math.max(0, (expiresAtMs - estimateNowMs()) / 1_000);
      return tenants.get(key)?.seconds ?? null;
    },
    list() {
      const nowMs = estimateNowMs();
      return [...tenants].map(([key, tenancy]) => {
        const remainingMs = (expiries.get(key) ?? nowMs + tenancy.seconds * 1_000) - nowMs;
        return { ...tenancy, remainingMs };
      });
    },
    refresh: read,
    follow(snapshot) {
      tenants = new Map();
      for (const { name, instances } of snapshot.services) {
        for (const { id, origin, leaseSeconds } of instances) {
          if (origin !== 'lease') continue;
          const seconds = leaseSeconds ?? defaultLeaseSeconds;
          tenants.set(buildLeaseKey(name, id), { service: name, instance: id, seconds });
        }
      }
    },
    [Symbol.dispose]() {
      disposed = true;
      flushTimer?.cancel();
      tickTimer?.cancel();
      // The last heartbeats of a gateway that ends count, if it can still say so.
      if (pending.size > 0) void flush().catch(() => {});
    },
  };
}

function split<T>(items: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let index = 0; index < items.length; index += batch) parts.push(items.slice(index, index + batch));
  return parts;
}
