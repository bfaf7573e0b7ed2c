/** What stores of rate limits count, and what they answer: plain values, which also travel between processes. */

/** The numbers of GCRA: a request costs one emission interval, and `burst` intervals may be owed at once. */
export interface GcraRule {
  readonly algorithm?: 'gcra' | undefined;
  readonly emissionUs: number;
  readonly burst: number;
  /** How far beyond the burst charges may go, as a debt. @default 0 */
  readonly debtUs?: number | undefined;
  readonly share?: LocalShare | undefined;
}

/** At most `limit` in a window. */
export interface WindowRule {
  readonly algorithm: 'fixed-window' | 'sliding-window';
  readonly limit: number;
  readonly windowMs: number;
  readonly share?: LocalShare | undefined;
}

/** At most `limit` at the same time. Where counts are shared, a slot that nobody renews is free after `leaseMs`. */
export interface ConcurrencyRule {
  readonly algorithm: 'concurrency';
  readonly limit: number;
  readonly leaseMs: number;
}

export type CountRule = GcraRule | WindowRule | ConcurrencyRule;

/** What a process takes from a shared count at once, to spend it by itself. */
export interface LocalShare {
  readonly units: number;
  readonly keepMs: number;
}

/** What a store answers. The times are rounded up. */
export interface CountResult {
  readonly allowed: boolean;
  /** Requests that would pass now, after this one. */
  readonly remaining: number;
  /** Milliseconds until the next request passes, or this one if it was refused; 0 when one passes now. */
  readonly retryAfterMs: number;
  /** Milliseconds until nothing is counted any more. */
  readonly resetMs: number;
  /** With a slot of a concurrency rule: gives it back. More than once does nothing more. */
  readonly release?: (() => void) | undefined;
}

/** Where counts live. `take` asks and counts in one step; what is refused is not counted. */
export interface RateLimitStore {
  /** Of a concurrency rule one slot is taken, whatever the cost. */
  take(key: string, rule: CountRule, cost: number): CountResult | Promise<CountResult>;
  /**
   * Counts what has happened already, beyond the limit too: those who come later pay the debt. Not for concurrency rules.
   */
  charge(key: string, rule: CountRule, cost: number): CountResult | Promise<CountResult>;
  close(): void;
}

/** When a slot becomes free nobody can know: what a refused client is told. */
export const slotRetryMs = 1_000;

/** A sliding window is counted in this many parts. What was counted is forgotten at most one part late, never early. */
export const windowParts = 20;
