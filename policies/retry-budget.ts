/** The retry budget of one service: retries are a share of its calls, so that an outage is not multiplied. */

export interface RetryBudgetOptions {
  /** Retries per call, between 0 and 1. 0 allows none. */
  readonly ratio: number;
  /** A quiet service earns too little by its calls to retry at all: it may do so many a second anyway. @default 1 */
  readonly minimumPerSecond?: number;
  /** A clock in milliseconds. @default performance.now */
  readonly now?: () => number;
}

/** How many retries a quiet service can save up by time alone. */
const quietTokens = 10;
/** How many retries a busy service can save up by its calls: what it may spend at once when an outage begins. */
const busyTokens = 100;

/** A bucket of tokens: every call puts a fraction of one in, every retry takes a whole one out. */
export class RetryBudget {
  #ratio: number;
  #tokens = quietTokens;
  #trickledAtMs: number;
  readonly #minimumPerMs: number;
  readonly #now: () => number;

  constructor(options: RetryBudgetOptions) {
    this.#ratio = options.ratio;
    this.#minimumPerMs = (options.minimumPerSecond ?? 1) / 1_000;
    this.#now = options.now ?? (() => performance.now());
    this.#trickledAtMs = this.#now();
  }

  /** A call began. */
  deposit(): void {
    if (this.#tokens < busyTokens) this.#tokens += this.#ratio;
  }

  /** Whether a retry may be made; if so, it is paid for. */
  withdraw(): boolean {
    this.#trickle();
    if (this.#ratio <= 0 || this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  configure(ratio: number): void {
    this.#ratio = ratio;
  }

  #trickle(): void {
    const nowMs = this.#now();
    const earned = (nowMs - this.#trickledAtMs) * this.#minimumPerMs;
    this.#trickledAtMs = nowMs;
    if (this.#tokens < quietTokens) this.#tokens = Math.min(quietTokens, this.#tokens + earned);
  }
}
