/** How long the slowest of the last calls to a service took: after that long without an answer, another try is worth it. */

/** How many calls are remembered. */
const windowSize = 256;
/** With fewer calls than this nobody knows what is slow. */
const fewest = 20;
/** After how many calls the quantile is worked out anew. */
const refreshEvery = 16;

/** A quantile over the last calls. */
export class LatencyQuantile {
  readonly #share: number;
  readonly #window = new Float64Array(windowSize);
  #seen = 0;
  #value = Number.POSITIVE_INFINITY;

  constructor(share: number) {
    this.#share = share;
  }

  /** Milliseconds; infinite as long as too few calls were seen. */
  get valueMs(): number {
    return this.#value;
  }

  observe(durationMs: number): void {
    this.#window[this.#seen % windowSize] = durationMs;
    this.#seen++;
    if (this.#seen < fewest || (this.#seen - fewest) % refreshEvery !== 0) return;
    const sorted = this.#window.slice(0, Math.min(this.#seen, windowSize)).sort();
    this.#value = sorted[Math.ceil(sorted.length * this.#share) - 1] ?? Number.POSITIVE_INFINITY;
  }
}
