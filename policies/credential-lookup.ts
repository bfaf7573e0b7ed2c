/**
 * Credentials that only somebody else can judge: opaque tokens, session ids. Asked once for all requests that wait, several
 * at a time where that service can, remembered for a bounded time, and refused with 503 while nobody can be asked.
 */
import { hash } from 'node:crypto';
import DataLoader from 'dataloader';
import { GatewayError } from './errors.ts';
import { createStorePause } from './rate-limit-pause.ts';
import type { Viewer } from './request-context.ts';

/** A viewer, and the moment (milliseconds since 1970) from which on it must be asked for again. */
export interface KnownViewer {
  readonly viewer: Viewer;
  readonly untilMs: number;
}

/** What became of one look-up. */
export type LookupOutcome = 'remembered' | 'valid' | 'invalid' | 'unavailable';

export interface CredentialLookup {
  /** The viewer of a credential; null for one that is not valid. Throws, or rejects, where it cannot be known now. */
  find(credential: string): Viewer | null | Promise<Viewer | null>;
}

export interface CredentialLookupOptions {
  /** What is asked, for the message of a failure: `identity provider`, `session service`. */
  readonly what: string;
  /** Judges up to `maxBatchSize` credentials, in their order. Rejects when nobody can be asked. */
  readonly load: (credentials: readonly string[]) => Promise<readonly (KnownViewer | null)[]>;
  readonly maxBatchSize: number;
  /** How long an answer counts at most. */
  readonly cacheForMs: number;
  readonly now: () => number;
  readonly onOutcome: (outcome: LookupOutcome) => void;
  /** Nobody can be asked. Told once per outage and pause. */
  readonly onUnavailable: (error: unknown) => void;
  /** Most credentials that are asked for at a time. @default 500 */
  readonly maxWaiting?: number | undefined;
}

interface Key {
  readonly digest: string;
  readonly credential: string;
}

interface Remembered {
  readonly viewer: Viewer | null;
  readonly untilMs: number;
}

const maxRemembered = 10_000;
const maxCredentialBytes = 8_192;
/** A credential that is not valid may be one that was made a moment ago and is not known everywhere yet. */
const invalidForMs = 5_000;

/** Creates the look-up. Answers are kept by digest, so that memory holds no usable credential longer than it is asked for. */
export function createCredentialLookup(options: CredentialLookupOptions): CredentialLookup {
  const { what, maxBatchSize, cacheForMs, now, onOutcome, maxWaiting = 500 } = options;
  const remembered = new Map<string, Remembered>();
  /** Look-ups under way: the loader's own memory, from which each is taken when it ends. */
  const flights = new Map<string, Promise<KnownViewer | null>>();
  const pause = createStorePause(now);
  const loader = new DataLoader<Key, KnownViewer | null, string>(load, {
    cacheKeyFn: ({ digest }) => digest,
    cacheMap: flights,
    maxBatchSize,
    // Requests come one by one: what arrived in one turn of the event loop is asked for together.
    ...(maxBatchSize > 1 && { batchScheduleFn: (ask: () => void) => void setImmediate(ask) }),
  });

  async function load(keys: readonly Key[]): Promise<readonly (KnownViewer | null)[]> {
    const credentials = keys.map(({ credential }) => credential);
    try {
      const found = await options.load(credentials);
      pause.succeeded();
      return found;
    } catch (error) {
      if (pause.failed()) options.onUnavailable(error);
      throw error;
    }
  }

  function recall(digest: string): Remembered | undefined {
    const entry = remembered.get(digest);
    if (entry === undefined) return undefined;
    remembered.delete(digest);
    if (now() >= entry.untilMs) return undefined;
    // Goes to the end of the map, so that its first entry is always the one used longest ago.
    remembered.set(digest, entry);
    return entry;
  }

  function remember(digest: string, entry: Remembered): void {
    const oldest = remembered.size >= maxRemembered ? remembered.keys().next().value : undefined;
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(digest, entry);
  }

  function unavailable(cause?: unknown): GatewayError {
    onOutcome('unavailable');
    const message = `The ${what} cannot be asked`;
    return new GatewayError('SERVICE_UNAVAILABLE', message, { retryAfterSeconds: 1, cause });
  }

  /** Begins the look-up of the first who asks; it goes on when that one leaves. */
  async function ask(key: Key): Promise<Viewer | null> {
    const beganAtMs = now();
    try {
      const found = await loader.load(key);
      const lifetimeMs = found === null ? Math.min(invalidForMs, cacheForMs) : cacheForMs;
      const untilMs = Math.min(found?.untilMs ?? Number.POSITIVE_INFINITY, beganAtMs + lifetimeMs);
      const viewer = found?.viewer ?? null;
      remember(key.digest, { viewer, untilMs });
      onOutcome(viewer === null ? 'invalid' : 'valid');
      return viewer;
    } catch (cause) {
      throw unavailable(cause);
    } finally {
      loader.clear(key);
    }
  }

  async function join(flight: Promise<KnownViewer | null>): Promise<Viewer | null> {
    try {
      return (await flight)?.viewer ?? null;
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  return {
    find(credential) {
      if (credential.length > maxCredentialBytes) return null;
      const digest = hash('sha256', credential, 'base64');
      const known = recall(digest);
      if (known !== undefined) {
        onOutcome('remembered');
        return known.viewer;
      }
      const flight = flights.get(digest);
      if (flight !== undefined) return join(flight);
      // Made-up credentials are never remembered ones: they must not become as many requests as somebody likes.
      if (flights.size >= maxWaiting || !pause.mayAsk()) throw unavailable();
      return ask({ digest, credential });
    },
  };
}
