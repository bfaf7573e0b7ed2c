/**
 * The registry in Redis, shared by any number of gateways. A save writes the services that changed, on condition that
 * nobody saved in between; a load reads those that changed since. What this store knows of Redis is its `base`.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import { type AuditEntry, maxAuditEntries } from './audit.ts';
import type { HistoryEntry } from './history.ts';
import { type Log, silentLog } from './log.ts';
import { buildChannel, createRedisCommands, type RedisReading } from './redis-commands.ts';
import { connectRedis, defaultKeyPrefix, type RedisOptions, retryDelayMs } from './redis-connection.ts';
import { decodeDocument, encodeDocument, listReferences } from './redis-documents.ts';
import { createRedisLeases } from './redis-leases.ts';
import { buildFingerprint, listElementReferences, parseElements, RedisLog } from './redis-log.ts';
import { type Service, type Snapshot, sortByName } from './snapshot.ts';
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

interface KnownService {
  readonly service: Service;
  readonly json: string;
  readonly references: readonly string[];
}

/** What Redis held when it was read or written last. */
interface Base {
  readonly stamp: string;
  readonly snapshot: Snapshot;
  readonly services: ReadonlyMap<string, KnownService>;
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
  const texts = new Map<string, string>();
  const audit = new RedisLog();
  const history = new RedisLog();
  let base: Base | null = null;
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
      const reading = await commands.read(isFull ? '' : (base?.stamp ?? ''), audit.count, history.count);
      if (reading === null) {
        forget();
        return null;
      }
      try {
        await readTexts(reading);
        apply(reading);
        return buildState();
      } catch (error) {
        // A text may have gone out of use between the two questions; then there is a newer state.
        if (attempt >= 3) throw error;
      }
    }
  }

  async function readTexts({ services, audit: audits, history: histories }: RedisReading): Promise<void> {
    const needed = [
      ...services.flatMap(([, json]) => listReferences(json)),
      ...listElementReferences([...audits, ...histories]),
    ];
    const missing = [...new Set(needed)].filter((hash) => !texts.has(hash));
    if (missing.length === 0) return;
    const found = await commands.readTexts(missing);
    missing.forEach((hash, index) => {
      const text = found[index];
      if (text !== null && text !== undefined) texts.set(hash, text);
    });
  }

  function apply(reading: RedisReading): void {
    const { revision, stamp, mode } = reading;
    if (mode !== 'same') {
      const services = new Map(mode === 'full' ? [] : base?.services);
      for (const [name, json] of reading.services) {
        if (json === '') services.delete(name);
        else services.set(name, readService(name, json));
      }
      const sorted = sortByName([...services.values()].map(({ service }) => service));
      base = { stamp, snapshot: keepIfSame({ revision, services: sorted }), services };
    }
    // A list that had more entries than it has now has lost them: it is another one.
    if (reading.auditCount < audit.count) audit.clear();
    if (reading.historyCount < history.count) history.clear();
    audit.append(parseElements(reading.audit, texts), maxAuditEntries);
    history.append(parseElements(reading.history, texts), reading.historyLength);
    audit.count = reading.auditCount;
    history.count = reading.historyCount;
    dropTexts();
  }

  /** Objects stay the same as long as what they say does: who compares them by identity need not look deeper. */
  function readService(name: string, json: string): KnownService {
    const known = base?.services.get(name);
    if (known?.json === json) return known;
    return { service: decodeDocument(json, texts) as Service, json, references: listReferences(json) };
  }

  function keepIfSame(next: Snapshot): Snapshot {
    const known = base?.snapshot;
    const isSame =
      known?.revision === next.revision &&
      known.services.length === next.services.length &&
      known.services.every((service, index) => service === next.services[index]);
    return isSame ? known : next;
  }

  function listUsedTexts(services: ReadonlyMap<string, KnownService>): Set<string> {
    const ofServices = [...services.values()].flatMap(({ references }) => references);
    return new Set([...ofServices, ...audit.listReferences(), ...history.listReferences()]);
  }

  function dropTexts(): void {
    const used = listUsedTexts(base?.services ?? new Map());
    for (const hash of texts.keys()) if (!used.has(hash)) texts.delete(hash);
  }

  function forget(): void {
    base = null;
    audit.clear();
    history.clear();
    texts.clear();
  }

  function buildState(): StoredState | null {
    if (base === null) return null;
    return {
      formatVersion: 1,
      snapshot: base.snapshot,
      audit: audit.entries as readonly AuditEntry[],
      ...(history.entries.length > 0 && { history: history.entries as readonly HistoryEntry[] }),
    };
  }

  async function save(state: StoredState, expected: number | undefined): Promise<void> {
    if (expected === undefined) {
      for (;;) {
        await load();
        if (await write(state)) return;
      }
    }
    if ((base?.snapshot.revision ?? 0) !== expected || !(await write(state))) throw new StoreConflict();
  }

  async function write(state: StoredState): Promise<boolean> {
    const services = new Map(state.snapshot.services.map((service) => [service.name, encodeService(service)]));
    const changed = [...services].filter(([name, { json }]) => base?.services.get(name)?.json !== json);
    const removed = [...(base?.services.keys() ?? [])].filter((name) => !services.has(name));
    const isSame =
      base !== null && changed.length + removed.length === 0 && base.snapshot.revision === state.snapshot.revision;
    const audits = audit.listNew(state.audit, (entry) => fingerprintOf(entry as AuditEntry));
    const histories = history.listNew(state.history ?? [], () => '');
    if (isSame && audits.length + histories.length === 0) return true;

    const historyLimit = state.history?.length ?? 0;
    const before = base === null ? new Set<string>() : listUsedTexts(base.services);
    const fresh = new Map<string, string>();
    for (const [, known] of changed) for (const [hash, text] of known.texts) fresh.set(hash, text);
    for (const { document } of [...audits, ...histories])
      for (const [hash, text] of document.texts) fresh.set(hash, text);
    const after = new Set([
      ...[...services.values()].flatMap(({ references }) => references),
      ...audit.listReferences(),
      ...history.listReferences(
        histories.map(({ element }) => element),
        historyLimit || undefined,
      ),
    ]);
    const unused = isSame ? [] : [...before].filter((hash) => !after.has(hash) && !fresh.has(hash));
    const missing = [...fresh].filter(([hash]) => !before.has(hash));
    const stamp = isSame ? (base?.stamp ?? '') : randomUUID();
    savingStamp = stamp;
    const done = await commands.save([
      ...[isSame ? 'any' : (base?.stamp ?? ''), state.snapshot.revision, stamp, channel],
      ...[changed.length, ...changed.flatMap(([name, { json }]) => [name, json])],
      ...[removed.length, ...removed],
      ...[missing.length, ...missing.flat()],
      ...[unused.length, ...unused],
      ...[audits.length, ...audits.flatMap(({ element, text }) => [element.fingerprint, text]), maxAuditEntries],
      ...[histories.length, ...histories.map(({ text }) => text), historyLimit],
    ]);
    if (!done) return false;
    for (const [hash, text] of fresh) texts.set(hash, text);
    base = { stamp, services, snapshot: state.snapshot };
    // The counts stay behind: what others appended meanwhile has to be read, and what is known is told by its id.
    audit.append(
      audits.map(({ element }) => element),
      maxAuditEntries,
    );
    if (historyLimit > 0)
      history.append(
        histories.map(({ element }) => element),
        historyLimit,
      );
    dropTexts();
    return true;
  }

  function encodeService(service: Service): KnownService & { readonly texts: ReadonlyMap<string, string> } {
    const known = base?.services.get(service.name);
    if (known?.service === service) return { ...known, texts: new Map() };
    const { json, texts: found } = encodeDocument(service);
    return { service, json, references: [...found.keys()], texts: found };
  }

  function onMessage(stamp: string): void {
    if (stamp !== savingStamp && stamp !== base?.stamp) tell();
  }

  /** Messages can be lost, so the stamp is asked for, too; and now and then everything is compared. */
  async function poll(): Promise<void> {
    if (performance.now() - lastFullReadMs > fullReadMs) {
      lastFullReadMs = performance.now();
      const before = base?.snapshot;
      await enqueue(() => load(true));
      if (before !== base?.snapshot) tell();
      return;
    }
    const stamp = await observed(commands.readStamp());
    if ((stamp ?? '') !== (base?.stamp ?? '')) tell();
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

/** Of refusals, and of what discovery finds: those that are the same but for their time and count. */
function fingerprintOf({ outcome, author, action, code, targets }: AuditEntry): string {
  const isCounted = outcome === 'refused' || action === 'instances.discover';
  return isCounted ? buildFingerprint([author, action, code, targets]) : '';
}
