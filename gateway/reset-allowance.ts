/** How many streams a client of HTTP/2 may break off: a burst, then so many per second. */

export interface ResetAllowanceOptions {
  readonly burst: number;
  readonly perSecond: number;
  /** @default Date.now */
  readonly now?: () => number;
}

export class ResetAllowance {
  readonly #burst: number;
  readonly #perMs: number;
  readonly #now: () => number;
  #left: number;
  #atMs: number;

  constructor({ burst, perSecond, now = Date.now }: ResetAllowanceOptions) {
    this.#burst = burst;
    this.#perMs = perSecond / 1_000;
    this.#now = now;
    this.#left = burst;
    this.#atMs = now();
  }

  /** Counts one; false when it was too many. */
  take(): boolean {
    const nowMs = this.#now();
    this.#left = Math.min(this.#burst, this.#left + (nowMs - this.#atMs) * this.#perMs) - 1;
    this.#atMs = nowMs;
    return this.#left >= 0;
  }
}
