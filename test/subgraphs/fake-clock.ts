/** A clock that stands still until a test moves it. */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../subgraphs/clock.ts';

export interface FakeClock extends Clock {
  /** Moves the time on; every timer that is due fires at its moment, and what it began goes on as far as it can. */
  advance(ms: number): Promise<void>;
  /** Moves the time without firing a timer, as when the process stands still. */
  stall(ms: number): void;
  readonly pendingTimers: number;
}

export function createFakeClock(): FakeClock {
  let nowMs = 1_000;
  const timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();

  async function settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await setImmediate();
  }

  return {
    now: () => nowMs,
    date: () => new Date(Date.UTC(2030, 0, 1) + nowMs),
    setTimer(callback, delayMs) {
      const timer = { atMs: nowMs + delayMs, callback };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      await settle();
      for (;;) {
        const [next] = [...timers].sort((a, b) => a.atMs - b.atMs);
        if (next === undefined || next.atMs > untilMs) break;
        nowMs = Math.max(nowMs, next.atMs);
        timers.delete(next);
        next.callback();
        await settle();
      }
      nowMs = untilMs;
      await settle();
    },
    stall(ms) {
      nowMs += ms;
    },
    get pendingTimers() {
      return timers.size;
    },
  };
}
