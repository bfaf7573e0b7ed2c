/** Time as an argument: what waits or measures takes a clock, and tests bring their own. */
export interface Clock {
  /** Milliseconds on a clock that never jumps. Only differences mean anything. */
  now(): number;
  /** The time of day, for people. */
  date(): Date;
  /** Calls back once after so many milliseconds. A pending timer does not keep the process alive. */
  setTimer(callback: () => void, delayMs: number): Timer;
}

export interface Timer {
  cancel(): void;
}

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  setTimer(callback, delayMs) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
