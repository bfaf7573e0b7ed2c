/** Persisted operations as the configuration has them: where the trusted documents come from, where clients' own are kept. */
import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import { type AutomaticQueries, createAutomaticQueries, type SharedQueries } from '../policies/automatic-queries.ts';
import {
  createFileReader,
  createUrlReader,
  followManifest,
  type ManifestFollower,
  type ReadManifest,
} from '../policies/manifest-following.ts';
import type { OperationManifest } from '../policies/operation-manifest.ts';
import { createPersistedOperations, type PersistedOperations } from '../policies/persisted-operations.ts';
import { createClassTest } from '../policies/viewer-class.ts';
import { connectAccessRedis } from './access-redis.ts';
import type { Settings } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

type PersistedSettings = Settings['graphql']['persistedOperations'];

export interface PersistedOperationAccess extends PersistedOperations, Disposable {
  /** Resolves when the trusted documents were read, or could not be. Never rejects. */
  readonly begun: Promise<void>;
  /** Takes other settings; resolves when they hold. */
  configure(settings: PersistedSettings): Promise<void>;
}

/** Arbitrary operations of which the log told, by client and hash. */
const maxTold = 1_000;
/** How long other settings wait for their documents. */
const patienceMs = 2_000;

/** Opens what persisted operations need. */
export function openPersistedOperations(settings: Settings, log: Log, metrics: Metrics): PersistedOperationAccess {
  let connected: ReturnType<typeof connectAccessRedis>;
  const connect = () => {
    connected ??= connectAccessRedis(settings);
    return connected;
  };
  const { persistedOperations } = settings.graphql;
  const redis = settings.cache.store === 'redis' ? connect() : undefined;
  const automatic = createAutomaticQueries({
    maxBytes: persistedOperations.apqMaxBytes,
    shared: redis && createSharedQueries(redis.redis, `${redis.keyPrefix}apq:`, persistedOperations.apqTtlMs),
    onFailure: (error) => log.warn('Redis cannot be asked for persisted queries: clients send them again', { error }),
  });
  const told = new Set<string>();
  const begin = (wanted: PersistedSettings, before?: OperationManifest): Running =>
    start(wanted, { log, metrics, automatic, connect, told, before });
  let running = begin(persistedOperations);
  let latest = running;
  metrics.queries.watchDocuments(() => running.trusted()?.size ?? 0);
  return {
    resolve: (params, asker) => running.operations.resolve(params, asker),
    peek: (params, asker) => running.operations.peek(params, asker),
    register: (registered) => running.operations.register(registered),
    begun: running.begun,
    async configure(wanted) {
      if (JSON.stringify(wanted) === JSON.stringify(latest.settings)) return;
      const next = begin(wanted, running.trusted());
      latest.manifest?.close();
      latest = next;
      // Documents that were never read would be refused; those of before serve until others are there.
      await Promise.race([next.begun, sleep(patienceMs, undefined, { ref: false })]);
      if (latest !== next) return;
      running = next;
    },
    [Symbol.dispose]() {
      latest.manifest?.close();
      connected?.redis.disconnect();
    },
  };
}

interface Running {
  readonly settings: PersistedSettings;
  readonly operations: PersistedOperations;
  readonly manifest: ManifestFollower | undefined;
  readonly trusted: () => OperationManifest | undefined;
  readonly begun: Promise<void>;
}

interface Parts {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly automatic: AutomaticQueries;
  readonly connect: () => ReturnType<typeof connectAccessRedis>;
  readonly told: Set<string>;
  /** What served before, until there is something newer. */
  readonly before: OperationManifest | undefined;
}

function start(settings: PersistedSettings, parts: Parts): Running {
  const { log, metrics, automatic, connect, told, before } = parts;
  const { mode, source, reloadMs, copy, allowArbitrary, apq } = settings;
  const manifest =
    mode === 'off' || source === undefined
      ? undefined
      : followManifest({
          read: createReader(source, connect),
          intervalMs: reloadMs,
          copy,
          onLoaded: ({ size }) => log.info('trusted documents are loaded', { documents: size }),
          onAvailable(available, error) {
            if (available) log.info('the manifest of trusted documents can be read again');
            else log.warn('the manifest of trusted documents cannot be read: the last good one serves', { error });
          },
          onRefused: (error) => log.error('a manifest of trusted documents is refused', { error }),
        });
  const trusted = () => manifest?.current ?? before;
  const operations = createPersistedOperations({
    mode,
    manifest: trusted,
    automatic: apq ? automatic : undefined,
    allowArbitrary: allowArbitrary.map(createClassTest),
    onOutcome(outcome, clientName, text) {
      metrics.queries.onPersisted(outcome, clientName ?? '');
      if (text === undefined || mode !== 'log') return;
      // Not the text, which may hold what is nobody's business.
      const key = `${clientName ?? ''} ${text.length} ${text.slice(0, 200)}`;
      if (told.has(key) || told.size >= maxTold) return;
      told.add(key);
      log.warn('an operation is no trusted document', { client: clientName ?? null, sha256: hash('sha256', text) });
    },
  });
  return { settings, operations, manifest, trusted, begun: manifest?.begun ?? Promise.resolve() };
}

function createReader(source: string, connect: Parts['connect']): ReadManifest {
  if (source.startsWith('file:')) return createFileReader(source.slice('file:'.length));
  if (source !== 'redis') return createUrlReader(source);
  return async () => {
    const connected = connect();
    const text = await connected?.redis.get(`${connected.keyPrefix}trusted-documents`);
    if (text == null) throw new Error('Redis has no manifest of trusted documents');
    return text;
  };
}

function createSharedQueries(redis: Redis | Cluster, keyPrefix: string, ttlMs: number): SharedQueries {
  const keyOf = (digest: string) => `${keyPrefix}${digest}`;
  return {
    // One command each: they travel together, and a Cluster keeps them on different nodes.
    load: (digests) => Promise.all(digests.map((digest) => redis.get(keyOf(digest)))),
    async save(digest, text) {
      await redis.set(keyOf(digest), text, 'PX', ttlMs);
    },
  };
}
