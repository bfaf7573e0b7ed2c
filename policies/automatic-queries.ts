/** Documents that clients sent along with their hash: in memory, and where there is a shared store also there. */
import { hash } from 'node:crypto';
import DataLoader from 'dataloader';
import { createStorePause } from './rate-limit-pause.ts';

/** Documents by hash, for all gateways. */
export interface SharedQueries {
  /** In the order of the hashes; null for those that are not there. */
  load(hashes: readonly string[]): Promise<readonly (string | null)[]>;
  save(hash: string, text: string): Promise<void>;
}

export interface AutomaticQueriesOptions {
  readonly maxBytes: number;
  readonly shared?: SharedQueries | undefined;
  /** How long the shared store is waited for. @default 40 */
  readonly answerTimeoutMs?: number;
  /** The shared store cannot be asked. Told once per outage and pause. */
  readonly onFailure?: (error: unknown) => void;
}

export interface AutomaticQueries {
  /** What this process knows. */
  peek(hash: string): string | undefined;
  find(hash: string): string | undefined | Promise<string | undefined>;
  /** Keeps a document. Nobody waits for the shared store. */
  keep(hash: string, text: string): void;
  readonly sizeBytes: number;
}

/** What an entry costs beside its text, and a character of it at most. */
const entryOverheadBytes = 300;
const characterBytes = 2;
/** A client makes up as many hashes as it likes; they must not become as many questions. */
const maxWaiting = 500;

export function createAutomaticQueries(options: AutomaticQueriesOptions): AutomaticQueries {
  const { maxBytes, shared, answerTimeoutMs = 40, onFailure = () => {} } = options;
  /** In the order of use: a Map keeps that of insertion. */
  const kept = new Map<string, string>();
  let sizeBytes = 0;
  const pause = createStorePause();
  const flights = new Map<string, Promise<string | null>>();
  const loader =
    shared === undefined
      ? null
      : new DataLoader<string, string | null>((hashes) => within(answerTimeoutMs, shared.load(hashes)), {
          cacheMap: flights,
          maxBatchSize: 100,
          batchScheduleFn: (ask) => void setImmediate(ask),
        });

  function put(key: string, text: string): void {
    const bytes = text.length * characterBytes + entryOverheadBytes;
    if (bytes > maxBytes || kept.has(key)) return;
    kept.set(key, text);
    sizeBytes += bytes;
    for (const [oldest, old] of kept) {
      if (sizeBytes <= maxBytes) break;
      kept.delete(oldest);
      sizeBytes -= old.length * characterBytes + entryOverheadBytes;
    }
  }

  function use(key: string): string | undefined {
    const text = kept.get(key);
    if (text === undefined) return undefined;
    kept.delete(key);
    kept.set(key, text);
    return text;
  }

  async function ask(key: string, from: DataLoader<string, string | null>): Promise<string | undefined> {
    const isFirst = !flights.has(key);
    if (isFirst && (flights.size >= maxWaiting || !pause.mayAsk())) return undefined;
    try {
      const text = await from.load(key);
      pause.succeeded();
      // Whoever else can write there shall not choose what a hash means.
      if (text === null || hash('sha256', text) !== key) return undefined;
      put(key, text);
      return text;
    } catch (error) {
      if (pause.failed()) onFailure(error);
      return undefined;
    } finally {
      if (isFirst) from.clear(key);
    }
  }

  return {
    get sizeBytes() {
      return sizeBytes;
    },
    peek: (key) => kept.get(key),
    find: (key) => use(key) ?? (loader === null ? undefined : ask(key, loader)),
    keep(key, text) {
      put(key, text);
      if (shared === undefined || !pause.mayAsk()) return;
      shared.save(key, text).then(pause.succeeded, (error: unknown) => {
        if (pause.failed()) onFailure(error);
      });
    },
  };
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => setImmediate(reject, new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    // Whoever is not waited for any more may still fail.
    work.catch(() => {});
  }
}
