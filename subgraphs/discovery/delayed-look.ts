/**
 * Look now, and again whenever a stream of changes says so: soon after the first of several changes, not after each. If
 * either fails, both end.
 */
import { setTimeout as wait } from 'node:timers/promises';

export interface DelayedLook {
  /** Something changed: look, soon. */
  request(): void;
  /** Looks, while `follow` runs; ends when `follow` does. Rejects when either does. */
  run(follow: (stop: AbortSignal) => Promise<void>): Promise<void>;
}

const settleMs = 100;

export function createDelayedLook(signal: AbortSignal, look: () => Promise<void>): DelayedLook {
  let isWanted = Promise.withResolvers<void>();
  return {
    request: () => isWanted.resolve(),
    async run(follow) {
      const over = new AbortController();
      const stop = AbortSignal.any([signal, over.signal]);
      const following = follow(stop).finally(() => over.abort());
      const stopped = aborted(stop);
      const looking = (async () => {
        while (!stop.aborted) {
          isWanted = Promise.withResolvers();
          await look();
          await Promise.race([isWanted.promise, stopped]);
          if (!stop.aborted) await wait(settleMs, undefined, { ref: false });
        }
      })();
      // Whichever fails first is what failed; the other is stopped by it.
      try {
        await Promise.all([following, looking]);
      } finally {
        over.abort();
        await Promise.allSettled([following, looking]);
      }
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
