/**
 * The registry in Redis, shared by any number of gateways. A save writes the services that changed, on condition that
 * nobody saved in between; a load reads those that changed since. What that comes to is worked out in `redis-mirror.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import { type Log, silentLog } from './log.ts';
import { buildChannel, createRedisCommands, type RedisReading } from './redis-commands.ts';
import { connectRedis, defaultKeyPrefix, type RedisOptions, retryDelayMs } from './redis-connection.ts';
import { createRedisLeases } from './redis-leases.ts';
import { RedisMirror } from './redis-mirror.ts';
import { type Store, StoreConflict, type StoredState } from './store.ts';

export interface RedisStoreOptions {
  readonly redis: RedisOptions;
  readonly log?: Log;
  /** Redis can be asked, or not any more. */
  readonly onAvailability?: (available: boolean) => void;
  /** How often it is asked whether a message was missed. @default 1000 */
  readonly pollMs?: number;
  /** How often everything is read and compared. @default 60000 */
  readonly fullReadMs?: number;
}

const connectionBehaviour = {
  // What cannot be written now is refused now; and what may have been written is never sent a second time.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  enableAutoPipelining: true,
  connectTimeout: 2_000,
  commandTimeout: 3_000,
  // A peer that vanished without a word: the poll writes every second, so silence means that.
  socketTimeout: 5_000,
  retryStrategy: retryDelayMs,
} as const;

const firstConnectionMs = 2_000;

/** Opens the store. Never waits for Redis: what needs it rejects until it is there. */
export function createRedisStore(options: RedisStoreOptions): Store {
  const { log = silentLog, onAvailability, pollMs = 1_000, fullReadMs = 60_000 } = options;
  const { keyPrefix = defaultKeyPrefix } = options.redis;
  const redis = connectRedis(options.redis, connectionBehaviour);
  // A connection that subscribes can do nothing else. It waits for commands forever, as it has none.
  const { socketTimeout: _, ...subscriberBehaviour } = connectionBehaviour;
  let connectionFailure: unknown;
  redis.on('error', (error) => {
    connectionFailure = error;
  });
  const subscriber = connectRedis(options.redis, { ...subscriberBehaviour, enableOfflineQueue: true });
  const commands = createRedisCommands(redis, keyPrefix);
  const channel = buildChannel(keyPrefix);
  const firstConnection = waitForConnection(redis);
  const listeners = new Set<() => void>();
  const mirror = new RedisMirror();
  let savingStamp = '';
  let available: boolean | null = null;
  let lastFullReadMs = performance.now();
  let tail: Promise<unknown> = Promise.resolve();

  /** Loads and saves one after the other: each goes from the base that the one before has left. */
  function enqueue<T>(job: () => Promise<T>): Promise<T> {
    const run = tail.then(() => firstConnection).then(job);
    tail = run.catch(() => {});
    return observed(run);
  }

  async function observed<T>(work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      setAvailable(true);
      return result;
    } catch (error) {
      if (error instanceof StoreConflict) {
        setAvailable(true);
        throw error;
      }
      // That a stream is not writable is no news; why there is no connection is.
      const cause = redis.status === 'ready' ? error : (connectionFailure ?? error);
      setAvailable(false, cause);
      throw cause;
    }
  }

  function setAvailable(is: boolean, error?: unknown): void {
    if (available === is) return;
    const isReturn = is && available === false;
    available = is;
    onAvailability?.(is);
    if (!is) log.error('the shared registry cannot be asked; serving on with what is known', { error });
    if (isReturn) log.info('the shared registry can be asked again');
    if (isReturn) tell();
  }

  function tell(): void {
    for (const listener of [...listeners]) listener();
  }

  async function load(isFull = false): Promise<StoredState | null> {
    for (let attempt = 0; ; attempt++) {
      const reading = await commands.read(isFull ? '' : mirror.stamp, ...mirror.counts);
      if (reading === null) {
        mirror.forget();
        return null;
      }
      try {
        await readTexts(reading);
        mirror.apply(reading);
        return mirror.state;
      } catch (error) {
        // A text may have gone out of use between the two questions; then there is a newer state.
        if (attempt >= 3) throw error;
      }
    }
  }

  async function readTexts(reading: RedisReading): Promise<void> {
    const missing = mirror.listMissingTexts(reading);
    if (missing.length === 0) return;
    const found = await commands.readTexts(missing);
    missing.forEach((hash, index) => {
      const text = found[index];
      if (text !== null && text !== undefined) mirror.addText(hash, text);
    });
  }

  async function save(state: StoredState, expected: number | undefined): Promise<void> {
    if (expected === undefined) {
      for (;;) {
        await load();
        if (await write(state)) return;
      }
    }
    if ((mirror.snapshot?.revision ?? 0) !== expected || !(await write(state))) throw new StoreConflict();
  }

  /** False when somebody else saved in between. */
  async function write(state: StoredState): Promise<boolean> {
    const planned = mirror.plan(state);
    if (planned === null) return true;
    const { expected, revision, stamp, lists } = planned;
    savingStamp = stamp;
    if (!(await commands.save([expected, revision, stamp, channel, ...lists]))) return false;
    planned.commit();
    return true;
  }

  function onMessage(stamp: string): void {
    if (stamp !== savingStamp && stamp !== mirror.stamp) tell();
  }

  /** Messages can be lost, so the stamp is asked for, too; and now and then everything is compared. */
  async function poll(): Promise<void> {
    if (performance.now() - lastFullReadMs > fullReadMs) {
      lastFullReadMs = performance.now();
      const before = mirror.snapshot;
      await enqueue(() => load(true));
      if (before !== mirror.snapshot) tell();
      return;
    }
    const stamp = await observed(commands.readStamp());
    if ((stamp ?? '') !== mirror.stamp) tell();
  }

  subscriber.on('message', (_channel: string, stamp: string) => onMessage(stamp));
  subscriber.subscribe(channel).catch(() => {}); // subscribed again by itself with every new connection
  const closing = new AbortController();
  const polling = (async () => {
    while (!closing.signal.aborted) {
      await sleep(pollMs, undefined, { signal: closing.signal, ref: false }).catch(() => {});
      if (!closing.signal.aborted && listeners.size > 0) await poll().catch(() => {}); // said by `observed`
    }
  })();

  return {
    load: () => enqueue(() => load()),
    save: (state, expected) => enqueue(() => save(state, expected)),
    shared: {
      watch(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      createLeases: (onExpire, clock) => createRedisLeases({ commands, onExpire, clock, log }),
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      listeners.clear();
      await polling;
      await tail;
      redis.disconnect();
      subscriber.disconnect();
    },
  };
}

/** At a start there is nothing better to do than to wait for the connection, a little. */
function waitForConnection(redis: Redis | Cluster): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, firstConnectionMs).unref();
  redis.once('ready', resolve);
  return promise.finally(() => clearTimeout(timer));
}
