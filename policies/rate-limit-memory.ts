/** Counts of one process: for a gateway alone, and for `onStoreError: local`. */
import type { CountResult, CountRule, GcraRule, RateLimitStore } from './rate-limit-count.ts';
import { createSlots } from './rate-limit-slots.ts';
import { takeFromWindow, type WindowCount } from './rate-limit-windows.ts';

export interface MemoryRateLimitStoreOptions {
  /** Monotonic milliseconds. @default performance.now */
  readonly now?: (() => number) | undefined;
  /** Most keys that are kept. Over it, expired ones go first, then those not seen for longest. @default 100_000 */
  readonly maxKeys?: number | undefined;
}

/** A store that never makes its caller wait. */
export interface MemoryRateLimitStore extends RateLimitStore {
  take(key: string, rule: CountRule, cost: number): CountResult;
  charge(key: string, rule: CountRule, cost: number): CountResult;
  /** How many keys are kept. */
  readonly size: number;
}

/** A rate limit store in memory that stays small whatever clients send. */
export function createMemoryRateLimitStore(options: MemoryRateLimitStoreOptions = {}): MemoryRateLimitStore {
  const { now = () => performance.now(), maxKeys = 100_000 } = options;
  /** Theoretical arrival times in microseconds. */
  const arrivals = createRecent<number>(maxKeys, (arrivalUs, nowMs) => arrivalUs <= nowMs * 1_000);
  const windows = createRecent<WindowCount>(maxKeys, ({ endsAtMs }, nowMs) => endsAtMs <= nowMs);
  const slots = createSlots(now);
  let lastHolder = 0;

  function takeGcra(key: string, rule: GcraRule, cost: number, isCharge: boolean): CountResult {
    const nowMs = now();
    // Whole microseconds: with intervals in quarters of them no sum is ever rounded.
    const { arrivalUs, result } = decide(arrivals.find(key, nowMs), Math.floor(nowMs * 1_000), rule, cost, isCharge);
    arrivals.set(key, arrivalUs);
    return result;
  }

  function takeSlot(key: string, limit: number): CountResult {
    const holder = String(++lastHolder);
    const result = slots.take(key, limit, holder, Infinity);
    return result.allowed ? { ...result, release: () => slots.release(key, holder) } : result;
  }

  function count(key: string, rule: CountRule, cost: number, isCharge: boolean): CountResult {
    if ('emissionUs' in rule) return takeGcra(key, rule, cost, isCharge);
    if (rule.algorithm === 'concurrency') return takeSlot(key, rule.limit);
    const nowMs = now();
    let window = windows.find(key, nowMs);
    if (window === undefined) {
      window = { endsAtMs: 0, parts: [] };
      windows.set(key, window);
    }
    return takeFromWindow(window, rule, cost, nowMs, isCharge);
  }

  return {
    take: (key, rule, cost) => count(key, rule, cost, false),
    charge: (key, rule, cost) => count(key, rule, cost, true),
    get size() {
      return arrivals.size + windows.size + slots.size;
    },
    close() {
      arrivals.clear();
      windows.clear();
      slots.clear();
    },
  };
}

interface Recent<Value> {
  /** The value, which moves to the young generation. Whoever asks sets it then. */
  find(key: string, nowMs: number): Value | undefined;
  set(key: string, value: Value): void;
  readonly size: number;
  clear(): void;
}

/**
 * Values of the keys that were asked for last. Keys live in two generations: what is asked moves to the young one, and
 * when that is full the old one goes. One map kept in order of use would do the same exactly, but a Map's first entry
 * costs a walk over all that was deleted before it, and an iterator held across deletions keeps every table the Map ever
 * had.
 */
function createRecent<Value>(maxKeys: number, isExpired: (value: Value, nowMs: number) => boolean): Recent<Value> {
  const generationSize = Math.max(1, Math.floor(maxKeys / 2));
  let young = new Map<string, Value>();
  let old = new Map<string, Value>();

  /** Makes room for the key in the young generation; gives back what the old one knows. */
  function promote(key: string, nowMs: number): Value | undefined {
    const known = old.get(key);
    if (known !== undefined) old.delete(key);
    if (young.size >= generationSize) {
      for (const [other, value] of young) if (isExpired(value, nowMs)) young.delete(other);
      // Unless much of it had expired, or it would be gone through again too soon.
      if (young.size > generationSize / 2) {
        old = young;
        young = new Map();
      }
    }
    if (known !== undefined) young.set(key, known);
    return known;
  }

  return {
    find: (key, nowMs) => young.get(key) ?? promote(key, nowMs),
    set: (key, value) => void young.set(key, value),
    get size() {
      return young.size + old.size;
    },
    clear() {
      young.clear();
      old.clear();
    },
  };
}

/**
 * GCRA (ITU-T I.371): the theoretical arrival time moves one interval per request and may lie `burst` intervals ahead of
 * now. The script of the Redis store is the same, line by line.
 */
function decide(known: number | undefined, nowUs: number, rule: GcraRule, cost: number, isCharge: boolean) {
  const toleranceUs = rule.emissionUs * rule.burst;
  const latestUs = nowUs + toleranceUs + (rule.debtUs ?? 0);
  let arrivalUs = Math.min(Math.max(known ?? nowUs, nowUs), latestUs);
  let waitUs = arrivalUs + rule.emissionUs * cost - toleranceUs - nowUs;
  const allowed = isCharge || waitUs <= 0;
  if (allowed) {
    arrivalUs = Math.min(arrivalUs + rule.emissionUs * cost, latestUs);
    waitUs = arrivalUs + rule.emissionUs - toleranceUs - nowUs;
  }
  const result: CountResult = {
    allowed,
    remaining: Math.max(0, Math.floor((nowUs + toleranceUs - arrivalUs) / rule.emissionUs)),
    retryAfterMs: Math.max(0, Math.ceil(waitUs / 1_000)),
    resetMs: Math.ceil((arrivalUs - nowUs) / 1_000),
  };
  return { arrivalUs, result };
}
