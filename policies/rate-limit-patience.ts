/** How long a store is waited for, when the one who waits may be late himself. */

export type WaitForAnswer = <T>(answer: Promise<T>) => Promise<T>;

interface Waiting {
  readonly askedAt: number;
  readonly giveUp: () => void;
}

/** Ticks come with the turns of the event loop: however long it stalls, there is one, not all that were missed. */
const tickMs = 5;

/**
 * Rejects what is not answered within `timeoutMs`, or twice as long while other answers come. Time in which our own event
 * loop stands still does not count: a burst of thousands of requests would otherwise look like an outage of the store,
 * and every process would let its own limit pass.
 */
export function createAnswerPatience(timeoutMs: number): WaitForAnswer {
  const patience = Math.max(2, Math.ceil(timeoutMs / tickMs));
  /** In the order in which they asked. */
  const waiting = new Set<Waiting>();
  let ticks = 0;
  let heardAt = 0;
  let timer: NodeJS.Timeout | undefined;

  function giveUpLate(): void {
    for (const entry of waiting) {
      const waited = ticks - entry.askedAt;
      if (waited < patience || (waited < 2 * patience && ticks - heardAt < patience)) return;
      leave(entry);
      entry.giveUp();
    }
  }

  function leave(entry: Waiting): void {
    waiting.delete(entry);
    if (waiting.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  function tick(): void {
    ticks++;
    // Timers run before sockets are read: look there before giving up.
    setImmediate(giveUpLate);
  }

  return (answer) =>
    new Promise((resolve, reject) => {
      const giveUp = () => reject(new Error(`no answer within ${timeoutMs} ms`));
      const entry: Waiting = { askedAt: ticks, giveUp };
      waiting.add(entry);
      timer ??= setInterval(tick, tickMs);
      answer.then(
        (value) => {
          heardAt = ticks;
          leave(entry);
          resolve(value);
        },
        (error: unknown) => {
          leave(entry);
          reject(error);
        },
      );
    });
}
