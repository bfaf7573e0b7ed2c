/** One call under way: its attempts, and when there is another one. */

import { GatewayError } from '../policies/errors.ts';
import type { RequestContext } from '../policies/request-context.ts';
import type { CallOptions, CallRequest, ResilienceEvent } from './call.ts';
import { type CallFailure, departureFailure } from './call-failure.ts';
import { deadlineOf } from './call-time.ts';
import { type CallScope, Dispatch, type Outcome } from './dispatch.ts';
import type { InstanceState } from './instance-state.ts';
import type { ServiceVerdict } from './service-breaker.ts';
import type { ServiceUpstream } from './service-upstream.ts';
import { Upload } from './upload.ts';

const nothingTried: readonly InstanceState[] = [];
/** How often a call may lose an idle connection before it is treated like any other failure. */
const maxReconnects = 3;
const firstBackoffMs = 25;
const longestBackoffMs = 200;

/**
 * One call: attempts, one after the other, until an answer has ended or nothing more may be tried. A further attempt is
 * made
 * - when nothing was sent, at once to an instance that this call has not tried. That is free of the budget and of the
 *   number of attempts: the service has done no work for it, each dead instance is met at most once (it is out of the
 *   rotation then), and a dead instance shall not become a client's error while a living one exists;
 * - when nothing was sent because a connection was lost that had been idle: at once, to the same instance if need be, a
 *   few times. It is not the instance that failed, and the next connection is a new one;
 * - when the instance says that it refused what was sent, whatever the request: to an instance that this call has not
 *   tried, within the number of attempts and the budget, as it says so because it has too much to do;
 * - when nothing was sent and all were tried, or when something was sent but the request is idempotent and its body is
 *   still whole: within the number of attempts and the retry budget, to an untried instance if there is one, else after
 *   a short pause to any.
 * With hedging, a further attempt is also made beside one that takes longer than usual, if the request is idempotent and
 * its body no stream; whichever has the head of an answer first is the answer, and the other is given up.
 * Never of a copy, after the head of an answer, after the deadline, or when the client has left.
 */
export class CallRun implements CallScope {
  readonly request: CallRequest;
  readonly context: RequestContext;
  readonly options: CallOptions;
  readonly upload: Upload | null;
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly #upstream: ServiceUpstream;
  readonly #tried: InstanceState[] = [];
  #retries = 0;
  /** Whether an attempt has the head of the answer. */
  #claimed = false;
  #reconnects = 0;
  #departed = false;
  readonly #running = new Set<Dispatch>();
  /** What becomes of the call, for the breaker of the service; null where it has none. */
  #verdict: ServiceVerdict | null = null;
  #lastFailure: CallFailure | null = null;
  #second: Dispatch | null = null;
  /** An instance that was asked says not to come back before. */
  #notBeforeMs = 0;
  #endPause: (() => void) | null = null;

  constructor(upstream: ServiceUpstream, request: CallRequest, context: RequestContext, options: CallOptions) {
    this.request = request;
    this.context = context;
    this.options = options;
    this.timeoutMs = request.timeoutMs ?? upstream.settings.timeoutMs;
    this.idleTimeoutMs = request.idleTimeoutMs ?? options.bodyIdleTimeoutMs;
    this.#upstream = upstream;
    const { body } = request;
    const streams = body !== null && typeof body === 'object' && !Buffer.isBuffer(body);
    this.upload = streams ? new Upload(body, options.now) : null;
  }

  async run(): Promise<void> {
    const { bulkhead, breaker } = this.#upstream;
    // Kept: whoever authenticates does so before the call, but a call must leave where it has entered.
    const { viewer } = this.context;
    const nowMs = this.options.now();
    breaker.check(nowMs);
    this.#enterBulkhead(viewer);
    if (this.request.aside !== true) this.#verdict = breaker.begin(nowMs, this.request.receiver);
    const unsubscribe = this.context.departure.subscribe(this.#onDeparture);
    try {
      await this.#attempt();
      this.#verdict?.end();
    } catch (thrown) {
      this.#verdict?.fail(this.#lastFailure, this.options.now());
      throw thrown;
    } finally {
      bulkhead.leave(viewer);
      unsubscribe();
      this.upload?.stop();
    }
  }

  /** Asked by an attempt whose answer is 502, 503 or 504. True commits this call to another attempt. */
  setsAside(retryAfterMs: number | undefined): boolean {
    if (!this.#mayGoOn()) return false;
    // Another attempt is under way beside it.
    if (this.#running.size > 1) return true;
    if (retryAfterMs !== undefined && !this.#hasAvailable(this.#tried)) {
      const nowMs = this.options.now();
      const tooLong = retryAfterMs > this.#upstream.settings.retryMaxAfterMs;
      if (tooLong || nowMs + retryAfterMs >= deadlineOf(this, nowMs)) return false;
      this.#notBeforeMs = nowMs + retryAfterMs;
    }
    return this.#mayRepeat(true);
  }

  claim(dispatch: Dispatch, waitedMs: number, status: number): void {
    this.#claimed = true;
    this.#verdict?.noteHead(status, this.options.now());
    if (dispatch === this.#second) this.#tell('hedge-won');
    if (!this.#mayHedge) return;
    const { usualLatency } = this.#upstream;
    usualLatency.observe(waitedMs);
    // What was cut short would have taken longer still: left out, it would make the service look faster than it is.
    for (const other of this.#running) if (other !== dispatch) usualLatency.observe(other.lose());
  }

  sessionCookie(instance: InstanceState): string | null {
    const { context } = this;
    return context.door === 'rest' ? (this.#upstream.sessions?.cookieFor(instance, context) ?? null) : null;
  }

  async #attempt(): Promise<void> {
    if (this.request.aside !== true) this.#upstream.budget.deposit();
    if (this.#mayHedge) this.#upstream.hedgingBudget.deposit();
    let last: Error | null = null;
    for (;;) {
      if (this.#departed) throw departureFailure(this.request.service, false).error;
      const dispatch = new Dispatch(this, this.#nextInstance(last));
      const outcome = await (this.#mayHedge ? this.#hedge(this.#start(dispatch)) : this.#alone(dispatch));
      this.#running.delete(dispatch);
      if (outcome.kind === 'answered') return;
      this.#lastFailure = outcome.failure;
      last = outcome.failure.error;
      if (outcome.kind === 'failed' && !this.#mayTryAgain(outcome.failure)) throw last;
      if (!this.#departed && !this.#hasAvailable(this.#tried)) await this.#pause();
    }
  }

  get #mayHedge(): boolean {
    if (this.#upstream.settings.hedgingBudget === 0 || !this.request.idempotent || this.upload !== null) return false;
    // Another instance does not have the client's session.
    return this.context.door !== 'rest' || this.#upstream.sessions === null;
  }

  #alone(dispatch: Dispatch): Promise<Outcome> {
    this.#running.add(dispatch);
    return dispatch.start();
  }

  #start(dispatch: Dispatch): Promise<Outcome> {
    this.#running.add(dispatch);
    return dispatch.start().finally(() => this.#running.delete(dispatch));
  }

  /** What becomes of an attempt, or of a second one beside it: the answer of either, else the last failure. */
  async #hedge(first: Promise<Outcome>): Promise<Outcome> {
    const { usualLatency, settings } = this.#upstream;
    const delayMs = Math.max(usualLatency.valueMs, settings.hedgingMinimumDelayMs);
    if (delayMs >= Math.min(this.timeoutMs, this.context.deadlineAtMs - this.options.now())) return first;
    if (await endsWithin(first, delayMs)) return first;
    const second = this.#startSecond();
    if (second === null) return first;
    const sooner = await Promise.race([first, second]);
    if (sooner.kind === 'answered') return sooner;
    const [one, other] = await Promise.all([first, second]);
    return one === sooner ? other : one;
  }

  #startSecond(): Promise<Outcome> | null {
    // None is left waiting for its head: then it has been claimed, or there is nothing to hedge.
    if (!this.#mayGoOn() || this.#claimed) return null;
    const instance = this.#pick(this.options.now(), this.#tried);
    if (instance === undefined || !this.#upstream.hedgingBudget.withdraw()) return null;
    this.#tried.push(instance);
    this.#tell('hedge');
    this.#second = new Dispatch(this, instance);
    return this.#start(this.#second);
  }

  #nextInstance(last: Error | null): InstanceState {
    const nowMs = this.options.now();
    if (nowMs >= deadlineOf(this, nowMs)) {
      throw last ?? new GatewayError('GATEWAY_TIMEOUT', undefined, { service: this.request.service });
    }
    const instance = this.#pick(nowMs, this.#tried) ?? (last === null ? undefined : this.#pick(nowMs, nothingTried));
    if (instance === undefined) throw last ?? this.#upstream.refusal(nowMs, this.request.accepts);
    this.#tried.push(instance);
    return instance;
  }

  #pick(nowMs: number, tried: readonly InstanceState[]): InstanceState | undefined {
    const { context } = this;
    const holder = context.door === 'rest' ? this.#upstream.sessions?.find(context) : undefined;
    return this.#upstream.pick(nowMs, tried, context, holder, this.request.accepts, this.request.zone);
  }

  #hasAvailable(tried: readonly InstanceState[]): boolean {
    return this.#upstream.hasAvailable(this.options.now(), tried, this.request.accepts);
  }

  #mayTryAgain(failure: CallFailure): boolean {
    if (failure.final || this.request.aside === true || !this.#mayGoOn()) return false;
    if (failure.refused === true) return this.#hasAvailable(this.#tried) && this.#mayRepeat(false);
    if (!failure.sent) {
      if (!failure.connectFailure && this.#reconnects++ < maxReconnects) this.#tried.pop();
      if (this.#hasAvailable(this.#tried)) return true;
    }
    return this.#mayRepeat(failure.sent);
  }

  #mayGoOn(): boolean {
    const nowMs = this.options.now();
    return !this.#departed && nowMs < deadlineOf(this, nowMs);
  }

  #mayRepeat(sent: boolean): boolean {
    const upstream = this.#upstream;
    if (this.request.aside === true) return false;
    if (sent && (!this.request.idempotent || this.upload?.started === true)) return false;
    if (this.#retries >= upstream.settings.retryAttempts) return false;
    if (upstream.breaker.state === 'open' || !this.#hasAvailable(nothingTried)) return false;
    if (!upstream.budget.withdraw()) {
      this.#tell('retry-budget-exhausted');
      return false;
    }
    this.#tell('retry');
    this.#retries++;
    return true;
  }

  #enterBulkhead(viewer: RequestContext['viewer']): void {
    try {
      this.#upstream.bulkhead.enter(viewer);
    } catch (refusal) {
      this.#tell(viewer === null ? 'bulkhead-refusal-anonymous' : 'bulkhead-refusal-authenticated');
      throw refusal;
    }
  }

  #tell(event: ResilienceEvent): void {
    this.options.observer?.onResilience?.(this.request.service, event);
  }

  /** Waits a little, at random, so that those who failed together do not come back together. */
  async #pause(): Promise<void> {
    const nowMs = this.options.now();
    const leftMs = deadlineOf(this, nowMs) - nowMs;
    const longestMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** this.#retries, leftMs);
    const toldMs = Math.max(0, this.#notBeforeMs - nowMs);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, toldMs + this.options.random() * longestMs);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endPause = null;
  }

  readonly #onDeparture = (): void => {
    this.#departed = true;
    for (const dispatch of this.#running) dispatch.leave();
    this.#endPause?.();
  };
}

function endsWithin(outcome: Promise<Outcome>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void outcome.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
