/**
 * Counts of rate limits that are kept in the primary, for its workers: a viewer who comes through two workers is counted
 * once. Questions that come in one turn of the event loop travel together.
 */
import type { GcraResult, RateLimitStore } from '../policies/rate-limit.ts';
import { createMemoryRateLimitStore } from '../policies/rate-limit-memory.ts';
import type { LimitQuestion } from './worker-messages.ts';

export interface WorkerCountsOptions {
  readonly ask: (questions: readonly LimitQuestion[]) => Promise<readonly GcraResult[]>;
  /** Hears why the primary could not be asked. */
  readonly onFailure: (error: unknown) => void;
}

interface Waiting {
  readonly question: LimitQuestion;
  readonly resolve: (result: GcraResult) => void;
}

/** Creates the store of a worker. When the primary does not answer, this worker counts by itself. */
export function createWorkerCounts({ ask, onFailure }: WorkerCountsOptions): RateLimitStore {
  const own = createMemoryRateLimitStore();
  let waiting: Waiting[] = [];

  function countHere({ question, resolve }: Waiting): void {
    resolve(own.take(question.key, question, question.cost));
  }

  async function send(): Promise<void> {
    const batch = waiting;
    waiting = [];
    try {
      const results = await ask(batch.map(({ question }) => question));
      for (const [index, entry] of batch.entries()) {
        const result = results[index];
        if (result === undefined) countHere(entry);
        else entry.resolve(result);
      }
    } catch (error) {
      onFailure(error);
      batch.forEach(countHere);
    }
  }

  return {
    take(key, { emissionUs, burst }, cost) {
      if (waiting.length === 0) setImmediate(() => void send());
      return new Promise((resolve) => waiting.push({ question: { key, emissionUs, burst, cost }, resolve }));
    },
    close: own.close,
  };
}
