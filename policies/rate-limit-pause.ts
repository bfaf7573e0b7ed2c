/** Remembers that a store failed, so that one that hangs does not cost its timeout on every request. */

const firstPauseMs = 250;
const longestPauseMs = 1_000;

export interface StorePause {
  /** Whether to ask the store now. While it fails, one request after each pause is told to try. */
  mayAsk(): boolean;
  /** Whether that is news: one outage fails many requests at once. */
  failed(): boolean;
  succeeded(): void;
}

type Health =
  | { readonly state: 'asked' }
  | { readonly state: 'paused'; readonly untilMs: number; readonly pauseMs: number }
  | { readonly state: 'tried'; readonly pauseMs: number };

/** A circuit breaker for one store: opens at the first failure, because a wrong guess only costs a local count. */
export function createStorePause(now: () => number = () => performance.now()): StorePause {
  let health: Health = { state: 'asked' };
  return {
    mayAsk() {
      if (health.state === 'asked') return true;
      if (health.state === 'tried' || now() < health.untilMs) return false;
      health = { state: 'tried', pauseMs: health.pauseMs };
      return true;
    },
    failed() {
      // Only the first of many may set the pause.
      if (health.state === 'paused') return false;
      const pauseMs = health.state === 'tried' ? Math.min(health.pauseMs * 2, longestPauseMs) : firstPauseMs;
      health = { state: 'paused', untilMs: now() + pauseMs, pauseMs };
      return true;
    },
    succeeded() {
      // An answer that was under way when the store failed says nothing about it now.
      if (health.state === 'tried') health = { state: 'asked' };
    },
  };
}
