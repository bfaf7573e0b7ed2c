/** Short queues before rate limits: who is over the limit waits a little, in the order of arrival, instead of failing. */
import type { Departure } from './request-context.ts';

/** How many may wait for one key, and how long. */
export interface QueueRule {
  readonly size: number;
  readonly timeoutMs: number;
}

/** One who asks: what the store says now, and what it said at first. */
export interface QueueTurn<Answer> {
  readonly ask: () => Answer | Promise<Answer>;
  readonly isRefusal: (answer: Answer) => boolean;
  /** Milliseconds after which asking again makes sense. */
  readonly waitMs: (answer: Answer) => number;
  readonly departure: Departure | undefined;
}

export interface LimitQueues<Answer> {
  /** Whether somebody waits already: then nobody may overtake. */
  isWaitedFor(key: string): boolean;
  /**
   * Waits for a turn. With a refusal when the queue is full, the time is over, or the client left. Whoever was not
   * refused himself waits because of {@link isWaitedFor}.
   */
  wait(key: string, rule: QueueRule, turn: QueueTurn<Answer>, refusal?: Answer): Answer | Promise<Answer>;
  /** Something became free. */
  wake(key: string): void;
}

interface Waiter<Answer> {
  readonly turn: QueueTurn<Answer>;
  readonly untilMs: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
  gone: boolean;
}

interface Line<Answer> {
  readonly waiting: Waiter<Answer>[];
  /** The last one: what is told to whoever is not let in. */
  refusal: Answer;
  wake: () => void;
}

/** How often a line is looked at whose end nobody announces: slots that another process gives back. */
const longestPauseMs = 50;

export function createLimitQueues<Answer>(now: () => number = () => performance.now()): LimitQueues<Answer> {
  const lines = new Map<string, Line<Answer>>();

  /** One at a time asks for all: the first of the line. All of a line wait equally long, so it is the first to give up. */
  async function serve(key: string, line: Line<Answer>, firstPauseMs: number): Promise<void> {
    let pauseMs = firstPauseMs;
    for (let head = line.waiting[0]; head !== undefined; head = line.waiting[0]) {
      await pause(line, Math.min(pauseMs, longestPauseMs, head.untilMs - now()));
      if (head.gone) {
        head.resolve(line.refusal);
        line.waiting.shift();
        pauseMs = 0;
        continue;
      }
      try {
        const answer = await head.turn.ask();
        const refused = head.turn.isRefusal(answer);
        pauseMs = refused ? Math.max(1, head.turn.waitMs(answer)) : 0;
        if (refused) line.refusal = answer;
        if (refused && now() < head.untilMs && !head.gone) continue;
        head.resolve(answer);
      } catch (error) {
        head.reject(error);
      }
      line.waiting.shift();
    }
    lines.delete(key);
  }

  /** The first of the line may be asking right now: what it is given then is given back at the end of its request. */
  function leave(line: Line<Answer>, waiter: Waiter<Answer>): void {
    waiter.gone = true;
    const place = line.waiting.indexOf(waiter);
    if (place > 0) {
      line.waiting.splice(place, 1);
      waiter.resolve(line.refusal);
    } else line.wake();
  }

  return {
    isWaitedFor: (key) => lines.has(key),
    wait(key, rule, turn, refusal) {
      let line = lines.get(key);
      if (line === undefined) {
        if (refusal === undefined) return turn.ask();
        line = { waiting: [], refusal, wake: () => {} };
        lines.set(key, line);
        queueMicrotask(serve.bind(null, key, line, Math.max(1, turn.waitMs(refusal))));
      }
      if (line.waiting.length >= rule.size) return refusal ?? line.refusal;
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      const waiter: Waiter<Answer> = { turn, untilMs: now() + rule.timeoutMs, resolve, reject, gone: false };
      line.waiting.push(waiter);
      const unsubscribe = turn.departure?.subscribe(() => leave(line, waiter));
      return unsubscribe === undefined ? promise : promise.finally(unsubscribe);
    },
    wake: (key) => lines.get(key)?.wake(),
  };
}

/** Until the time is over or the line is woken. */
function pause<Answer>(line: Line<Answer>, ms: number): Promise<void> {
  if (ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    line.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}
