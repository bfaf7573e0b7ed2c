/**
 * Counts of rate limits that are kept in the primary, for its workers: a viewer who comes through two workers is counted
 * once. Questions that come in one turn of the event loop travel together.
 */
import { randomUUID } from 'node:crypto';
import type { CountResult, RateLimitStore } from '../policies/rate-limit-count.ts';
import { createMemoryRateLimitStore } from '../policies/rate-limit-memory.ts';
import { createLeaseKeeper, createSlots, type HeldSlot } from '../policies/rate-limit-slots.ts';
import type { LimitQuestion } from './worker-messages.ts';

/** What the primary counts for its workers. */
export interface PrimaryCounts {
  take(question: LimitQuestion): CountResult;
  renew(slots: readonly HeldSlot[]): void;
  release(slot: HeldSlot): void;
  close(): void;
}

/** Creates the counts of the primary. Slots of a worker that died are free when their lease is over. */
export function createPrimaryCounts(): PrimaryCounts {
  const counts = createMemoryRateLimitStore();
  const slots = createSlots();
  return {
    take({ key, rule, cost, isCharge, holder = '' }) {
      if (isCharge) return counts.charge(key, rule, cost);
      return rule.algorithm === 'concurrency'
        ? slots.take(key, rule.limit, holder, rule.leaseMs)
        : counts.take(key, rule, cost);
    },
    renew(held) {
      for (const { key, holder, leaseMs } of held) slots.renew(key, holder, leaseMs);
    },
    release: ({ key, holder }) => slots.release(key, holder),
    close() {
      counts.close();
      slots.clear();
    },
  };
}

export interface WorkerCountsOptions {
  readonly ask: (questions: readonly LimitQuestion[]) => Promise<readonly CountResult[]>;
  readonly renew: (slots: readonly HeldSlot[]) => void;
  readonly release: (slot: HeldSlot) => void;
  /** Hears why the primary could not be asked. */
  readonly onFailure: (error: unknown) => void;
}

interface Waiting {
  readonly question: LimitQuestion;
  readonly resolve: (result: CountResult) => void;
}

/** Creates the store of a worker. When the primary does not answer, this worker counts by itself. */
export function createWorkerCounts({ ask, renew, release, onFailure }: WorkerCountsOptions): RateLimitStore {
  const own = createMemoryRateLimitStore();
  const leases = createLeaseKeeper(renew, release);
  let waiting: Waiting[] = [];

  function countHere({ question, resolve }: Waiting): void {
    // The primary may have given a slot all the same.
    const slot = toSlot(question);
    if (slot !== null) release(slot);
    const { key, rule, cost, isCharge } = question;
    resolve(isCharge ? own.charge(key, rule, cost) : own.take(key, rule, cost));
  }

  function conclude({ question, resolve }: Waiting, result: CountResult): void {
    const slot = result.allowed ? toSlot(question) : null;
    resolve(slot === null ? result : { ...result, release: leases.hold(slot) });
  }

  async function send(): Promise<void> {
    const batch = waiting;
    waiting = [];
    try {
      const results = await ask(batch.map(({ question }) => question));
      for (const [index, entry] of batch.entries()) {
        const result = results[index];
        if (result === undefined) countHere(entry);
        else conclude(entry, result);
      }
    } catch (error) {
      onFailure(error);
      batch.forEach(countHere);
    }
  }

  function put(question: LimitQuestion): Promise<CountResult> {
    if (waiting.length === 0) setImmediate(() => void send());
    return new Promise((resolve) => waiting.push({ question, resolve }));
  }

  return {
    take(key, rule, cost) {
      const holder = rule.algorithm === 'concurrency' ? { holder: randomUUID() } : {};
      return put({ key, rule, cost, ...holder });
    },
    charge: (key, rule, cost) => put({ key, rule, cost, isCharge: true }),
    close() {
      leases.close();
      own.close();
    },
  };
}

function toSlot({ key, rule, holder }: LimitQuestion): HeldSlot | null {
  return rule.algorithm === 'concurrency' && holder !== undefined ? { key, holder, leaseMs: rule.leaseMs } : null;
}
