/** Counts of one process: for a gateway alone, and for `onStoreError: local`. */
import type { GcraResult, GcraRule, RateLimitStore } from './rate-limit.ts';

export interface MemoryRateLimitStoreOptions {
  /** Monotonic milliseconds. @default performance.now */
  readonly now?: (() => number) | undefined;
  /** Most keys that are kept. Over it, expired ones go first, then those not seen for longest. @default 100_000 */
  readonly maxKeys?: number | undefined;
}

/** A store that never makes its caller wait. */
export interface MemoryRateLimitStore extends RateLimitStore {
  take(key: string, rule: GcraRule, cost: number): GcraResult;
  /** How many keys are kept. */
  readonly size: number;
}

/** Theoretical arrival times in microseconds, by key. */
type Arrivals = Map<string, number>;

/**
 * A rate limit store in memory that stays small whatever clients send. Keys live in two generations: what is asked moves
 * to the young one, and when that is full the old one goes. One map kept in order of use would do the same exactly, but
 * a Map's first entry costs a walk over all that was deleted before it, and an iterator held across deletions keeps
 * every table the Map ever had.
 */
export function createMemoryRateLimitStore(options: MemoryRateLimitStoreOptions = {}): MemoryRateLimitStore {
  const { now = () => performance.now(), maxKeys = 100_000 } = options;
  const generationSize = Math.max(1, Math.floor(maxKeys / 2));
  let young: Arrivals = new Map();
  let old: Arrivals = new Map();

  function take(key: string, rule: GcraRule, cost: number): GcraResult {
    // Whole microseconds: with intervals in quarters of them no sum is ever rounded.
    const nowUs = Math.floor(now() * 1_000);
    const known = young.get(key) ?? promote(key, nowUs);
    const { arrivalUs, result } = decide(known, nowUs, rule, cost);
    young.set(key, arrivalUs);
    return result;
  }

  /** Makes room for the key in the young generation; gives back what the old one knows. */
  function promote(key: string, nowUs: number): number | undefined {
    const known = old.get(key);
    if (known !== undefined) old.delete(key);
    if (young.size < generationSize) return known;
    for (const [other, arrivalUs] of young) if (arrivalUs <= nowUs) young.delete(other);
    // Unless much of it had expired, or it would be gone through again too soon.
    if (young.size > generationSize / 2) {
      old = young;
      young = new Map();
    }
    return known;
  }

  return {
    take,
    get size() {
      return young.size + old.size;
    },
    close() {
      young.clear();
      old.clear();
    },
  };
}

/**
 * GCRA (ITU-T I.371): the theoretical arrival time moves one interval per request and may lie `burst` intervals ahead of
 * now. The script of the Redis store is the same, line by line.
 */
function decide(known: number | undefined, nowUs: number, rule: GcraRule, cost: number) {
  const toleranceUs = rule.emissionUs * rule.burst;
  let arrivalUs = Math.min(Math.max(known ?? nowUs, nowUs), nowUs + toleranceUs);
  let waitUs = arrivalUs + rule.emissionUs * cost - toleranceUs - nowUs;
  const allowed = waitUs <= 0;
  if (allowed) {
    arrivalUs += rule.emissionUs * cost;
    waitUs = arrivalUs + rule.emissionUs - toleranceUs - nowUs;
  }
  const result: GcraResult = {
    allowed,
    remaining: Math.floor((nowUs + toleranceUs - arrivalUs) / rule.emissionUs),
    retryAfterMs: Math.max(0, Math.ceil(waitUs / 1_000)),
    resetMs: Math.ceil((arrivalUs - nowUs) / 1_000),
  };
  return { arrivalUs, result };
}
