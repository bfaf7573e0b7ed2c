/** One GET or HEAD before the cache: what is kept is given out, and what comes from the service is kept. */
import { withoutTagHeaders } from '../policies/answer-tags.ts';
import { parseCacheControl } from '../policies/cache-control.ts';
import { type CacheFlights, type Flight, waitForFlight } from '../policies/cache-flights.ts';
import type { HttpCacheRule } from '../policies/cache-options.ts';
import { type CacheStatus, type ForwardReason, formatCacheStatus } from '../policies/cache-status.ts';
import type { CacheStore } from '../policies/cache-store.ts';
import { DerivedContext } from '../policies/derived-context.ts';
import { GatewayError } from '../policies/errors.ts';
import { freshen, type HttpCaching, validators } from '../policies/http-caching.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { CachedReceiver, type Collecting, type KeptAnswer } from './cached-receiver.ts';
import type { Call, CallRequest, Flow, Receiver } from './call.ts';
import { type Found, findKept, keepAnswer } from './http-cache-entries.ts';
import { type CacheRequest, isVariesByExchange, variantKey } from './http-cache-key.ts';
import { buildGivenAnswer, withCacheStatus } from './kept-answer.ts';

/** What became of a request, for metrics. */
export type CacheOutcome = 'hit' | 'stale' | 'revalidated' | 'collapsed' | 'miss' | 'bypass';

export interface CacheObserver {
  onRequest(service: string, outcome: CacheOutcome): void;
  onStored(service: string, sizeBytes: number): void;
}

/** What all exchanges of a process have in common. */
export interface ExchangeParts {
  readonly store: CacheStore;
  readonly call: Call;
  readonly observer: CacheObserver;
  readonly caching: HttpCaching;
  readonly flights: CacheFlights<KeptAnswer>;
  readonly collecting: Collecting;
  readonly now: () => number;
}

/** Conditions and ranges in place of which the cache puts its own; what comes is judged by them afterwards. */
const ofTheClient: ReadonlySet<string> = new Set(['if-none-match', 'if-modified-since', 'range', 'if-range']);
const noFlow: Flow = { resume() {}, abort() {} };
const sink: Receiver = { onHead() {}, onData: () => true, onEnd() {} };

/** Built for one request; {@link run} answers it. */
export class Exchange {
  readonly #parts: ExchangeParts;
  readonly #rule: HttpCacheRule;
  readonly #request: CallRequest;
  readonly #asked: CacheRequest;
  readonly #context: RequestContext;

  constructor(
    parts: ExchangeParts,
    rule: HttpCacheRule,
    request: CallRequest,
    asked: CacheRequest,
    context: RequestContext,
  ) {
    this.#parts = parts;
    this.#rule = rule;
    this.#request = request;
    this.#asked = asked;
    this.#context = context;
  }

  async run(): Promise<void> {
    const found = await findKept(this.#parts.store, this.#asked);
    const { answer } = found;
    const verdict = answer === null ? null : this.#parts.caching.evaluate(answer.head, this.#asked);
    if (answer !== null && verdict?.kind === 'use') {
      if (verdict.refresh) this.#refresh(found);
      const isStale = verdict.ttlSeconds <= 0;
      const detail = verdict.refresh ? { detail: 'stale-while-revalidate' } : {};
      return this.#answer(answer, { ttlSeconds: verdict.ttlSeconds, ...detail }, isStale ? 'stale' : 'hit');
    }
    // RFC 9111 section 5.2.1.7.
    if (parseCacheControl(this.#asked.headers['cache-control']).has('only-if-cached'))
      throw new GatewayError('GATEWAY_TIMEOUT', 'There is no kept answer, and only-if-cached was asked for');
    const why = verdict === null ? found.missReason : verdict.kind === 'validate' ? verdict.why : 'miss';
    if (this.#request.method === 'GET' && 'range' in this.#asked.headers) return await this.#pass(why);
    return await this.#share(verdict?.kind === 'validate' ? found : { ...found, answer: null }, why);
  }

  /** A part that is not kept comes from the service, and is not kept either (RFC 9111 section 3.3 would allow it). */
  #pass(why: ForwardReason): Promise<void> {
    this.#parts.observer.onRequest(this.#request.service, 'miss');
    const receiver = withCacheStatus(this.#request.receiver, this.#rule, { forward: why });
    return this.#parts.call({ ...this.#request, receiver }, this.#context);
  }

  /** Fetches, or waits for somebody who does. */
  async #share(found: Found, why: ForwardReason): Promise<void> {
    // What a HEAD brings is not kept, and who has conditions of its own may get a 304 that is of use to it alone.
    if (this.#request.method === 'HEAD' || (found.answer === null && this.#asked.isConditional))
      return await this.#fetch({ ...found, answer: this.#request.method === 'HEAD' ? null : found.answer }, why, null);
    // Apart from each other, because what credentials bring is rarely for others.
    const boarding = this.#parts.flights.board(this.#asked.credentialed ? `${found.key} credentialed` : found.key);
    if (boarding.kind === 'alone') return await this.#fetch(found, why, null);
    if (boarding.kind === 'lead') {
      try {
        return await this.#fetch(found, why, boarding.flight);
      } finally {
        // Nobody shall wait for what has ended, however it did.
        boarding.flight.end({ kind: this.#context.departure.happened ? 'left' : 'pass' });
      }
    }
    const { departure, deadlineAtMs } = this.#context;
    const outcome = await waitForFlight(boarding.outcome, { departure, deadlineAtMs, now: this.#parts.now });
    if (outcome.kind === 'failed' && found.answer === null) throw outcome.error;
    if (outcome.kind === 'left') return await this.#share(found, why);
    if (outcome.kind === 'kept' && this.#mayHave(outcome.value)) {
      const status = { forward: why, collapsed: true };
      return this.#answer(outcome.value, status, 'collapsed');
    }
    return await this.#fetch(found, why, null);
  }

  #mayHave({ head, vary, requestVariant }: KeptAnswer): boolean {
    const { caching } = this.#parts;
    if (requestVariant !== variantKey(this.#asked.primaryKey, vary, this.#asked.headers)) return false;
    const verdict = caching.evaluate(head, this.#asked);
    // It has only just been made: for who asked that it be asked for anew, that is new enough.
    return verdict.kind === 'use' || (verdict.kind === 'validate' && verdict.why === 'request');
  }

  async #fetch(found: Found, why: ForwardReason, flight: Flight<KeptAnswer> | null): Promise<void> {
    const { call, store, observer } = this.#parts;
    const receiver = this.#receive(found, why, flight, this.#request.receiver);
    const stale = found.answer;
    try {
      await call({ ...this.#request, headers: this.#headers(stale), receiver }, this.#context);
    } catch (thrown) {
      if (stale !== null && this.#mayHide(receiver, thrown, stale)) return this.#answerInstead(stale, receiver);
      if (thrown instanceof GatewayError && !this.#context.departure.happened)
        flight?.end({ kind: 'failed', error: thrown });
      throw thrown;
    } finally {
      receiver.release();
    }
    if (stale !== null && receiver.state === 'set aside') return this.#answerInstead(stale, receiver);
    if (stale !== null && receiver.state === 'validated')
      return await this.#answerValidated(found, stale, receiver, why, flight);
    observer.onRequest(this.#request.service, 'miss');
    const kept = receiver.kept;
    if (kept === null) {
      // A new answer that is not to be kept is no reason to give out the old one any longer.
      if (stale !== null && receiver.status < 500) await store.delete(found.key);
    } else await this.#keep(kept, found.epoch, flight);
  }

  #receive(found: Found, why: ForwardReason, flight: Flight<KeptAnswer> | null, target: Receiver): CachedReceiver {
    const { caching, collecting } = this.#parts;
    const isGet = this.#request.method === 'GET';
    const { answer: stale } = found;
    return new CachedReceiver({
      target,
      collecting,
      maxBodyBytes: this.#rule.maxBodyBytes,
      hidesTags: this.#rule.hidesTags,
      validates: stale !== null,
      hidesFailures: stale !== null && caching.mayServeInsteadOfFailure(stale.head, this.#asked),
      judge: (head) => {
        const verdict = isGet ? caching.judge(this.#asked, head, this.#rule) : ({ kind: 'pass' } as const);
        const isKept = verdict.kind === 'keep' && !isVariesByExchange(verdict.vary);
        // Others need not wait for a body that they may not have.
        if (isGet && !(isKept && verdict.fresh)) flight?.end({ kind: 'pass' }, head.status < 500);
        if (!isKept) return null;
        return { ...verdict, requestVariant: variantKey(this.#asked.primaryKey, verdict.vary, this.#asked.headers) };
      },
      status: (stored, code) => ({
        forward: why,
        ...(stale !== null && { forwardStatus: code }),
        ...(stored && { stored }),
      }),
      onDropped: () => flight?.end({ kind: 'pass' }, true),
    });
  }

  /** Our own conditions in place of the client's, which are judged by what comes (RFC 9111 section 4.3.1). */
  #headers(stale: KeptAnswer | null): readonly string[] {
    if (stale === null) return this.#request.headers;
    const own = filterHeaders(this.#request.headers, (name) => !ofTheClient.has(name));
    return [...own, ...validators(stale.head)];
  }

  #mayHide(receiver: CachedReceiver, thrown: unknown, stale: KeptAnswer): boolean {
    if (receiver.state === 'set aside') return true;
    const isFailure = thrown instanceof GatewayError && thrown.status >= 500 && receiver.state === 'waiting';
    if (!isFailure || this.#context.departure.happened) return false;
    return this.#parts.caching.mayServeInsteadOfFailure(stale.head, this.#asked);
  }

  #answerInstead(stale: KeptAnswer, { status }: CachedReceiver): void {
    const forwardStatus = status === 0 ? {} : { forwardStatus: status };
    this.#answer(stale, { forward: 'stale', ...forwardStatus, detail: 'stale-if-error' }, 'stale');
  }

  async #answerValidated(
    found: Found,
    stale: KeptAnswer,
    receiver: CachedReceiver,
    why: ForwardReason,
    flight: Flight<KeptAnswer> | null,
  ): Promise<void> {
    const { caching, store } = this.#parts;
    const merged = freshen(stale.head, receiver.rawHeaders);
    if (merged === null) {
      // About another answer than the one that is kept: ask again, for a whole one.
      await store.delete(found.key);
      return await this.#fetch({ ...found, answer: null }, 'miss', flight);
    }
    const verdict = caching.judge(this.#asked, merged, this.#rule);
    const isKept = verdict.kind === 'keep' && sameNames(verdict.vary, stale.vary);
    const cookies = filterHeaders(receiver.rawHeaders, (name) => name === 'set-cookie');
    const answer = isKept ? { ...stale, head: verdict.head, keepMs: verdict.keepMs } : stale;
    this.#answer(answer, { forward: why, forwardStatus: 304, ...(isKept && { stored: true }) }, 'revalidated', cookies);
    if (isKept) await this.#keep(answer, found.epoch, verdict.fresh ? flight : null);
    else await store.delete(found.key);
  }

  async #keep(kept: KeptAnswer, epoch: number, flight: Flight<KeptAnswer> | null): Promise<void> {
    const { store, observer } = this.#parts;
    flight?.end({ kind: 'kept', value: kept });
    const isStored = await keepAnswer(store, this.#request, this.#asked, kept, epoch);
    if (isStored) observer.onStored(this.#request.service, kept.body.length);
  }

  /** For stale-while-revalidate (RFC 5861 section 3): nobody waits for it. */
  #refresh(found: Found): void {
    const boarding = this.#parts.flights.board(found.key);
    if (boarding.kind !== 'lead') return;
    const context = new DerivedContext(this.#context, { detached: true });
    const request: CallRequest = { ...this.#request, method: 'GET', receiver: sink };
    const exchange = new Exchange(
      { ...this.#parts, observer: onlyStored(this.#parts.observer) },
      this.#rule,
      request,
      this.#asked,
      context,
    );
    void exchange
      .#fetch(found, 'stale', boarding.flight)
      .catch(() => {})
      .finally(() => boarding.flight.end({ kind: 'pass' }));
  }

  #answer(kept: KeptAnswer, status: CacheStatus, outcome: CacheOutcome, more: readonly string[] = []): void {
    const { receiver, method, service } = this.#request;
    this.#parts.observer.onRequest(service, outcome);
    const { status: code, rawHeaders, body } = buildGivenAnswer(kept, method, this.#asked.headers);
    const visible = this.#rule.hidesTags ? withoutTagHeaders(rawHeaders) : rawHeaders;
    const age = String(this.#parts.caching.ageSeconds(kept.head));
    receiver.onHead(code, [...visible, 'age', age, 'cache-status', formatCacheStatus(status), ...more], noFlow);
    if (method !== 'HEAD' && body.length > 0) receiver.onData(body);
    receiver.onEnd([]);
  }
}

/** Refreshes in the background are no requests of anybody. */
function onlyStored(observer: CacheObserver): CacheObserver {
  return { onRequest() {}, onStored: (service, sizeBytes) => observer.onStored(service, sizeBytes) };
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}
