/** Counts of one process: for a gateway alone, and for `onStoreError: local`. */
import type { GcraResult, GcraRule, RateLimitStore } from './rate-limit.ts';

export interface MemoryRateLimitStoreOptions {
  /** Monotonic milliseconds. @default performance.now */
  readonly now?: (() => number) | undefined;
  /** Most keys that are kept. Over it, expired ones go first, then those not seen for longest. @default 100_000 */
  readonly maxKeys?: number | undefined;
}

/** A store of its own kind of answer: it never makes its caller wait. */
export interface MemoryRateLimitStore extends RateLimitStore {
  take(key: string, rule: GcraRule, cost: number): GcraResult;
  /** How many keys are kept. */
  readonly size: number;
}

/** Keys looked at for expiry whenever one is added: more than one, so that the expired cannot pile up. */
const sweepStep = 8;

/** A rate limit store in memory that stays small whatever clients send. */
export function createMemoryRateLimitStore(options: MemoryRateLimitStoreOptions = {}): MemoryRateLimitStore {
  const { now = () => performance.now(), maxKeys = 100_000 } = options;
  /** Theoretical arrival time in microseconds, by key; the key seen longest ago is first. */
  const arrivals = new Map<string, number>();
  let cursor = arrivals.entries();

  function take(key: string, rule: GcraRule, cost: number): GcraResult {
    // Whole microseconds: with intervals in quarters of them no sum is ever rounded.
    const nowUs = Math.floor(now() * 1_000);
    const known = arrivals.get(key);
    const { arrivalUs, result } = decide(known, nowUs, rule, cost);
    if (known !== undefined) arrivals.delete(key);
    else makeRoom(nowUs);
    // A refused key is kept young as well: who hammers the door must not be forgotten first.
    arrivals.set(key, arrivalUs);
    return result;
  }

  function makeRoom(nowUs: number): void {
    for (let looked = 0; looked < sweepStep; looked++) {
      let next = cursor.next();
      if (next.done) {
        cursor = arrivals.entries();
        next = cursor.next();
        if (next.done) return;
      }
      const [key, arrivalUs] = next.value;
      if (arrivalUs <= nowUs) arrivals.delete(key);
    }
    while (arrivals.size >= maxKeys) {
      const oldest = arrivals.keys().next();
      if (oldest.done) return;
      arrivals.delete(oldest.value);
    }
  }

  return {
    take,
    get size() {
      return arrivals.size;
    },
    close() {
      arrivals.clear();
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
