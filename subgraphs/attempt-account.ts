/** What one attempt tells of its instance: to the breaker, the balancer, and those who compare instances. */
import type { RequestContext } from '../policies/request-context.ts';
import type { CallOptions, CallRequest } from './call.ts';
import type { CallFailure } from './call-failure.ts';
import type { InstanceState } from './instance-state.ts';
import { readsErrors } from './service-breaker.ts';
import type { Upload } from './upload.ts';

/** What a failure counts for at most: streams may wait for ever, and an instance that failed one comes back. */
const longestPenaltyMs = 60_000;

/** The part of the call that counts here. */
interface AttemptScope {
  readonly request: CallRequest;
  readonly context: RequestContext;
  readonly options: CallOptions;
  readonly upload: Upload | null;
  readonly timeoutMs: number;
}

export class AttemptAccount {
  readonly startedAtMs: number;
  readonly #scope: AttemptScope;
  readonly #instance: InstanceState;
  #permit = 0;
  /** Whether the breaker knows already. */
  #isTold = false;

  constructor(scope: AttemptScope, instance: InstanceState, startedAtMs: number) {
    this.#scope = scope;
    this.#instance = instance;
    this.startedAtMs = startedAtMs;
  }

  /** The attempt begins; {@link close} must follow. */
  open(): void {
    this.#permit = this.#instance.breaker.begin(this.startedAtMs);
    this.#instance.inFlight++;
  }

  /** The head of the answer is there. */
  noteHead(status: number, nowMs: number): void {
    const { request, upload } = this.#scope;
    const { breaker, health } = this.#instance;
    this.#noteLatency(status >= 500, nowMs);
    // Where errors in the body count as failures, the verdict waits for its end.
    this.#isTold = status >= 500 || !readsErrors(request.receiver, breaker.errorCodes);
    if (status >= 500) breaker.fail(this.#permit, nowMs);
    else if (this.#isTold) breaker.succeed(this.#permit);
    // How long the instance took is not known where the client's upload was part of it.
    health.noteStatus(status, upload === null ? nowMs - this.startedAtMs : Number.NaN);
  }

  /** The answer is whole. */
  noteEnd(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    const { breaker } = this.#instance;
    const failed = this.#scope.request.receiver.hasErrorCode?.(breaker.errorCodes) === true;
    if (failed) breaker.fail(this.#permit, this.#scope.options.now());
    else breaker.succeed(this.#permit);
  }

  /** Tells the breaker, unless it knows already; an answer that breaks off afterwards counts once more. */
  noteFailure(failure: CallFailure, sent: boolean, headSeen: boolean): void {
    const { breaker, health, latency } = this.#instance;
    const nowMs = this.#scope.options.now();
    this.#instance.noteFailure(failure);
    if (failure.countsAgainstInstance) this.#noteLatency(true, nowMs);
    // Nobody waited any longer. Of what was never sent, or waited for the client, the instance knows nothing.
    else if (!headSeen && sent) latency.observeAtLeast(this.waitedMs(nowMs), nowMs);
    if (failure.countsAgainstInstance) health.noteBreak(headSeen);
    if (!failure.countsAgainstInstance) breaker.release(this.#permit);
    else if (!this.#isTold) breaker.fail(this.#permit, nowMs);
    else if (breaker.state === 'closed') breaker.fail(breaker.begin(nowMs), nowMs);
    this.#isTold = true;
  }

  /** Since the instance had all that there was to send: what a slow client takes is not the instance's time. */
  waitedMs(nowMs: number): number {
    const { upload } = this.#scope;
    return upload?.waitsForClient === true ? 0 : nowMs - Math.max(this.startedAtMs, upload?.movedAtMs ?? 0);
  }

  /** The attempt is over, however it ended. */
  close(): void {
    this.#instance.inFlight--;
  }

  /** For the log and metrics. */
  record(outcome: number | string): void {
    const { context, options, request } = this.#scope;
    const durationMs = options.now() - this.startedAtMs;
    const attempt = { service: request.service, instance: this.#instance.id, outcome, durationMs };
    context.attempts.push(attempt);
    options.observer?.onAttempt(attempt, context);
  }

  /** Tells the balancer how long the head of the answer took, or that there was no good one. */
  #noteLatency(failed: boolean, nowMs: number): void {
    const { latency } = this.#instance;
    if (failed) latency.observeFailure(this.waitedMs(nowMs), Math.min(this.#scope.timeoutMs, longestPenaltyMs), nowMs);
    else latency.observe(this.waitedMs(nowMs), nowMs);
  }
}
