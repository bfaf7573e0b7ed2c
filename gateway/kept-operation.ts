/** The answer of a query as it is kept. */
import type { CacheEntry } from '../policies/cache-store.ts';
import { SerializedData } from './planned-execution.ts';

export interface KeptOperation {
  /** The data. */
  readonly json: string;
  readonly storedAt: number;
  /** How long it is fresh. */
  readonly maxAgeMs: number;
  /** Whether some service said that it is for the viewer alone. */
  readonly isPrivate: boolean;
  /** Whether it may never be given out stale. */
  readonly isStrict: boolean;
}

interface Meta extends Omit<KeptOperation, 'json'> {
  readonly version: 2;
}

/** Null for none, and for what another version kept. */
export function readKept(entry: CacheEntry | null): KeptOperation | null {
  const meta = entry?.meta as Meta | undefined;
  return entry === null || meta?.version !== 2 ? null : { ...meta, json: entry.body.toString('utf8') };
}

/** As the store takes it. */
export function buildEntry({ json, ...known }: KeptOperation): CacheEntry {
  const meta: Meta = { version: 2, ...known };
  return { meta, body: Buffer.from(json, 'utf8') };
}

/** What is left of the time in which it is fresh; negative for a stale one. */
export function keptLifeMs({ storedAt, maxAgeMs }: KeptOperation, nowMs: number): number {
  return storedAt + maxAgeMs - nowMs;
}

/** The data of an answer without errors and substitutes, as JSON; null for any other. */
export function readWholeData(result: unknown): string | null {
  const isWhole =
    typeof result === 'object' &&
    result !== null &&
    'data' in result &&
    !('errors' in result && result.errors) &&
    !('extensions' in result && result.extensions);
  return isWhole ? readData(result) : null;
}

/** The data of an answer, as JSON; null where there is none. */
export function readData(result: unknown): string | null {
  if (typeof result !== 'object' || result === null || !('data' in result)) return null;
  const { data } = result;
  if (typeof data !== 'object' || data === null) return null;
  return data instanceof SerializedData ? data.json : JSON.stringify(data);
}
