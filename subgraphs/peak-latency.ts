/**
 * How long an instance takes to answer: an exponentially weighted mean that jumps to every peak at once and comes down
 * slowly (peak EWMA, as in Finagle). One slow answer is a warning; that it was an exception takes more to believe.
 *
 * Finagle's comes down with time alone. Here every faster answer is evidence, too: a peak that all instances had at once,
 * as when the first connections are made, would hide for half a minute which of them is slow.
 */

/** Most of what was known that outlives a faster answer: a peak is a memory after some thirty of them. */
const mostKept = 1 - 1 / 32;
/** What a failed call says about the time of an answer, as a multiple of what was known. */
const failureFactor = 10;
/** The least that a failure counts, or an instance that refuses at once would look like the fastest of all. */
const leastFailureMs = 100;

export class PeakLatency {
  #valueMs = 0;
  #atMs = 0;
  #known = false;
  #decayMs: number;

  constructor(decayMs: number) {
    this.#decayMs = decayMs;
  }

  /** False until a first answer, or failure, was seen. */
  get known(): boolean {
    return this.#known;
  }

  configure(decayMs: number): void {
    this.#decayMs = decayMs;
  }

  /** What it is now. It fades with time, so that a slow instance which gets no calls is tried again now and then. */
  valueMs(nowMs: number): number {
    return this.#valueMs * Math.exp((this.#atMs - nowMs) / this.#decayMs);
  }

  /** An answer took so long. */
  observe(durationMs: number, nowMs: number): void {
    const faded = Math.exp((this.#atMs - nowMs) / this.#decayMs);
    const kept = Math.min(faded, mostKept);
    const peak = !this.#known || durationMs >= this.#valueMs * faded;
    this.#valueMs = peak ? durationMs : durationMs * (1 - kept) + this.#valueMs * kept;
    this.#atMs = nowMs;
    this.#known = true;
  }

  /**
   * There was no good answer. It counts like one that was ten times as slow as usual, up to the timeout: the second
   * failure in a row weighs a hundred times, a single one among thousands is soon forgotten.
   */
  observeFailure(durationMs: number, timeoutMs: number, nowMs: number): void {
    const slowMs = Math.max(this.valueMs(nowMs) * failureFactor, leastFailureMs);
    this.observe(Math.max(durationMs, Math.min(slowMs, timeoutMs)), nowMs);
  }

  /** Nobody waited for the answer: it would have taken longer than this. */
  observeAtLeast(durationMs: number, nowMs: number): void {
    if (durationMs > this.valueMs(nowMs)) this.observe(durationMs, nowMs);
  }

  /** Another process has taken the instance's place. */
  reset(): void {
    this.#valueMs = 0;
    this.#known = false;
  }
}
