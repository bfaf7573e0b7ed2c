/** Rate limits: asks the rules that cover a request, over counts in memory or in Redis, and says what comes of it. */
import { type ByteAccount, isByteCount } from './rate-limit-bytes.ts';
import type { CountResult, RateLimitStore } from './rate-limit-count.ts';
import {
  type Answer,
  buildDecision,
  isRefusal,
  mergeDecisions,
  type RateLimitDecision,
  type RateLimitHeaders,
  unlimited,
} from './rate-limit-decision.ts';
import type { RateLimitSubject } from './rate-limit-key.ts';
import { createStorePause } from './rate-limit-pause.ts';
import { createLimitQueues, type QueueRule } from './rate-limit-queue.ts';
import type { CompiledRule } from './rate-limit-rule.ts';

export interface RateLimiter {
  /**
   * Asks the rules in order; the first refusal ends it. The rules before it have counted the request, those after it
   * have not: put the rule that refuses most (the narrowest) first. Synchronous with a synchronous store. What the
   * decision says to release must be released at the end of the request.
   */
  check(rules: readonly CompiledRule[], subject: RateLimitSubject): RateLimitDecision | Promise<RateLimitDecision>;
  /** Two decisions about one request as one, for the headers of its answer. */
  merge(before: RateLimitDecision | null, after: RateLimitDecision): RateLimitDecision;
}

export type LimitOutcome = 'allowed' | 'refused' | 'store-error' | 'queued';

export interface RateLimiterDependencies {
  /** Counts shared by several gateways. Without it, only `local` is asked. */
  readonly shared?: RateLimitStore | undefined;
  readonly local: RateLimitStore;
  /** Hears why `shared` failed, once per attempt to ask it again and not once per request. */
  readonly onStoreFailure?: ((error: unknown) => void) | undefined;
  /**
   * Hears `allowed` or `refused` once for each rule asked; beside it `store-error` when `shared` could not tell, and
   * `queued` when the request had to wait.
   */
  readonly onDecision?: ((rule: string, outcome: LimitOutcome) => void) | undefined;
  /** Which header fields answers get. @default standard */
  readonly headers?: (() => RateLimitHeaders) | undefined;
  /** Monotonic milliseconds. @default performance.now */
  readonly now?: (() => number) | undefined;
}

/** A rate limiter over one or two stores. */
export function createRateLimiter(dependencies: RateLimiterDependencies): RateLimiter {
  const { shared, local, onStoreFailure, onDecision, headers } = dependencies;
  const pause = createStorePause(dependencies.now);
  const queues = createLimitQueues<Answer>(dependencies.now);

  function ask(rule: CompiledRule, subject: RateLimitSubject): Answer | Promise<Answer> {
    const key = rule.readKey(subject);
    const cost = (rule.count === 'cost' ? subject.cost : rule.count === 'requests' ? subject.times : 1) ?? 1;
    const asked = rule.queue === null ? count(rule, key, cost) : countOrWait(rule, rule.queue, key, cost, subject);
    const answer = isByteCount(rule.count)
      ? withAccount(asked, { key, count: rule.count, charge: (bytes) => void charge(rule, key, bytes) })
      : asked;
    return answer instanceof Promise ? answer.then(hear) : hear(answer);
  }

  function count(rule: CompiledRule, key: string, cost: number): Answer | Promise<Answer> {
    if (shared === undefined) return toAnswer(rule, local.take(key, rule.counting, cost));
    if (!pause.mayAsk()) return fallBack(rule, key, cost);
    return countShared(shared, rule, key, cost);
  }

  async function countShared(store: RateLimitStore, rule: CompiledRule, key: string, cost: number): Promise<Answer> {
    let result: CountResult;
    try {
      result = await store.take(key, rule.counting, cost);
    } catch (error) {
      if (pause.failed()) onStoreFailure?.(error);
      return fallBack(rule, key, cost);
    }
    pause.succeeded();
    return { rule, result };
  }

  /** Nobody waits for it. With the store away, what this process counts by itself is charged. */
  async function charge(rule: CompiledRule, key: string, bytes: number): Promise<void> {
    try {
      if (shared === undefined) await local.charge(key, rule.counting, bytes);
      else if (pause.mayAsk()) {
        await shared.charge(key, rule.counting, bytes);
        pause.succeeded();
      } else if (rule.onStoreError === 'local') await local.charge(key, rule.counting, bytes);
    } catch (error) {
      if (pause.failed()) onStoreFailure?.(error);
      if (shared !== undefined && rule.onStoreError === 'local') await local.charge(key, rule.counting, bytes);
    }
  }

  function fallBack(rule: CompiledRule, key: string, cost: number): Answer | Promise<Answer> {
    onDecision?.(rule.name, 'store-error');
    return toAnswer(rule, rule.onStoreError === 'local' ? local.take(key, rule.counting, cost) : null);
  }

  function countOrWait(
    rule: CompiledRule,
    queue: QueueRule,
    key: string,
    cost: number,
    { departure }: RateLimitSubject,
  ): Answer | Promise<Answer> {
    const turn = { ask: () => askForTurn(rule, key, cost), isRefusal, waitMs, departure };
    const wait = (refusal?: Answer): Answer | Promise<Answer> => {
      onDecision?.(rule.name, 'queued');
      return queues.wait(key, queue, turn, refusal);
    };
    if (queues.isWaitedFor(key)) return wait();
    const first = askForTurn(rule, key, cost);
    if (first instanceof Promise) return first.then((answer) => (isRefusal(answer) ? wait(answer) : answer));
    return isRefusal(first) ? wait(first) : first;
  }

  /** What gives a slot back calls the next one at once. */
  function askForTurn(rule: CompiledRule, key: string, cost: number): Answer | Promise<Answer> {
    const answer = count(rule, key, cost);
    const waking = ({ result }: Answer): Answer => {
      const release = result?.release;
      if (result === null || release === undefined) return { rule, result };
      const releaseAndWake = (): void => {
        release();
        queues.wake(key);
      };
      return { rule, result: { ...result, release: releaseAndWake } };
    };
    return answer instanceof Promise ? answer.then(waking) : waking(answer);
  }

  function hear(answer: Answer): Answer {
    onDecision?.(answer.rule.name, isRefusal(answer) ? 'refused' : 'allowed');
    return answer;
  }

  // Not an async function: with the memory store a decision costs no promise.
  function walk(
    rules: readonly CompiledRule[],
    subject: RateLimitSubject,
    answers: Answer[],
  ): RateLimitDecision | Promise<RateLimitDecision> {
    for (let rule = rules[answers.length]; rule !== undefined; rule = rules[answers.length]) {
      const answer = ask(rule, subject);
      if (answer instanceof Promise) {
        return answer.then((settled) => {
          answers.push(settled);
          return isRefusal(settled) ? buildDecision(answers, headers?.()) : walk(rules, subject, answers);
        });
      }
      answers.push(answer);
      if (isRefusal(answer)) break;
    }
    return buildDecision(answers, headers?.());
  }

  return {
    check: (rules, subject) => (rules.length === 0 ? unlimited : walk(rules, subject, [])),
    merge: (before, after) => mergeDecisions(before, after, headers?.()),
  };
}

function toAnswer(rule: CompiledRule, result: CountResult | Promise<CountResult> | null): Answer | Promise<Answer> {
  return result instanceof Promise ? result.then((settled) => ({ rule, result: settled })) : { rule, result };
}

function withAccount(answer: Answer | Promise<Answer>, account: ByteAccount): Answer | Promise<Answer> {
  return answer instanceof Promise ? answer.then((settled) => ({ ...settled, account })) : { ...answer, account };
}

function waitMs({ result }: Answer): number {
  return result?.retryAfterMs ?? 0;
}
