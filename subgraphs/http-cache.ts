/**
 * The cache before the call, for routes that opted in: a shared cache by RFC 9111. Whoever gets here has passed
 * authentication, limits and authorization. Bodies stream to the client while they are kept; what will not be kept is
 * never held.
 */

import { parseCacheControl } from '../policies/cache-control.ts';
import { type CacheFlights, createCacheFlights, type Flight } from '../policies/cache-flights.ts';
import type { HttpCacheRule } from '../policies/cache-options.ts';
import type { CacheStatus, ForwardReason } from '../policies/cache-status.ts';
import { formatCacheStatus } from '../policies/cache-status.ts';
import type { CacheEntry, CacheStore } from '../policies/cache-store.ts';
import { DerivedContext } from '../policies/derived-context.ts';
import { GatewayError } from '../policies/errors.ts';
import { createHttpCaching, freshen, type HttpCaching, type StoredHead, validators } from '../policies/http-caching.ts';
import { isNotModified, notModifiedHeaders } from '../policies/http-conditions.ts';
import { filterHeaders, toHeaderMap } from '../policies/http-headers.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { CachedReceiver, type Collecting, type KeptAnswer } from './cached-receiver.ts';
import type { Call, CallRequest, Flow, Receiver } from './call.ts';
import { buildCacheRequest, type CacheRequest, isVariesByExchange, variantKey } from './http-cache-key.ts';

/** What became of a request, for metrics. */
export type CacheOutcome = 'hit' | 'stale' | 'revalidated' | 'collapsed' | 'miss' | 'bypass';

export interface CacheObserver {
  onRequest(service: string, outcome: CacheOutcome): void;
  onStored(service: string, sizeBytes: number): void;
}

export interface HttpCacheOptions {
  readonly store: CacheStore;
  readonly call: Call;
  readonly observer?: CacheObserver;
  /** Bytes of bodies that are passing and shall be kept, all together; beyond it answers only pass. @default 32 MiB */
  readonly maxCollectingBytes?: number;
  /** The clock of deadlines. @default performance.now */
  readonly now?: () => number;
  /** The clock of `Date` and `Age`. @default Date.now */
  readonly wallClock?: () => number;
}

export interface HttpCache {
  /** As `call`, with an answer that may come from the cache. */
  serve(rule: HttpCacheRule, request: CallRequest, context: RequestContext): Promise<void>;
}

const nobody: CacheObserver = { onRequest() {}, onStored() {} };
const noFlow: Flow = { resume() {}, abort() {} };
const sink: Receiver = { onHead() {}, onData: () => true, onEnd() {} };
/** How long a request waits for another one that fetches the same: longer than a body of the usual size takes. */
const longestWaitMs = 5_000;

/** Creates the cache of one process before a call. */
export function createHttpCache(options: HttpCacheOptions): HttpCache {
  const parts: Parts = {
    store: options.store,
    call: options.call,
    observer: options.observer ?? nobody,
    caching: createHttpCaching(options.wallClock),
    flights: createCacheFlights(),
    collecting: { sizeBytes: 0, maxBytes: options.maxCollectingBytes ?? 33_554_432 },
    now: options.now ?? (() => performance.now()),
  };
  return {
    serve(rule, request, context) {
      if (request.method !== 'GET' && request.method !== 'HEAD') return passUnsafe(parts, request, context);
      if (!rule.stores) return parts.call(request, context);
      const cacheRequest = buildCacheRequest(request, context);
      if (mustBypass(request, cacheRequest)) return bypass(parts, request, context);
      return new Exchange(parts, rule, request, cacheRequest, context).run();
    },
  };
}

interface Parts {
  readonly store: CacheStore;
  readonly call: Call;
  readonly observer: CacheObserver;
  readonly caching: HttpCaching;
  readonly flights: CacheFlights<KeptAnswer>;
  readonly collecting: Collecting;
  readonly now: () => number;
}

/**
 * Parts of a body are neither kept nor cut out of one that is kept; preconditions about the state of the resource are for
 * the service to judge (RFC 9110 section 13.1.1).
 */
function mustBypass(request: CallRequest, { headers }: CacheRequest): boolean {
  return (
    request.body !== null || ['range', 'if-range', 'if-match', 'if-unmodified-since'].some((name) => name in headers)
  );
}

function bypass({ call, observer }: Parts, request: CallRequest, context: RequestContext): Promise<void> {
  observer.onRequest(request.service, 'bypass');
  return call({ ...request, receiver: withStatus(request.receiver, { forward: 'bypass' }) }, context);
}

function withStatus(receiver: Receiver, status: CacheStatus): Receiver {
  return {
    onHead: (code, raw, flow) => receiver.onHead(code, [...raw, 'cache-status', formatCacheStatus(status)], flow),
    onData: (chunk) => receiver.onData(chunk),
    onEnd: (trailers) => receiver.onEnd(trailers),
  };
}

/** RFC 9111 section 4.4: what changed something makes what is kept of it invalid. */
async function passUnsafe({ call, store }: Parts, request: CallRequest, context: RequestContext): Promise<void> {
  const { receiver } = request;
  let dropping: Promise<unknown> | undefined;
  const watching: Receiver = {
    onHead(status, raw, flow) {
      const isSafe = request.method === 'OPTIONS' || request.method === 'TRACE';
      // Begun before the client hears of it: with a store in memory it has happened then.
      if (!isSafe && status < 400) dropping = drop(store, pathTag(request));
      receiver.onHead(status, raw, flow);
    },
    onData: (chunk) => receiver.onData(chunk),
    onEnd: (trailers) => receiver.onEnd(trailers),
  };
  await call({ ...request, receiver: watching }, context);
  await dropping;
}

/** A store that cannot be asked now lets what it has run out. */
async function drop(store: CacheStore, tag: string): Promise<void> {
  await Promise.resolve(store.invalidate([tag])).catch(() => {});
}

/** What an administrator names to drop the answers of a service, or those of one of its paths. */
export function serviceTag(service: string): string {
  return `service ${service}`;
}

function pathTag({ service, path }: CallRequest): string {
  return buildPathTag(service, path);
}

/** Of the path at the service, whatever the query. */
export function buildPathTag(service: string, path: string): string {
  return `path ${service} ${path.split('?', 1)[0]}`;
}

interface Found {
  /** That of the answer, if there is one for these headers. */
  readonly key: string;
  readonly answer: KeptAnswer | null;
  readonly epoch: number;
  readonly missReason: ForwardReason;
}

/** One GET or HEAD before the cache. */
class Exchange {
  readonly #parts: Parts;
  readonly #rule: HttpCacheRule;
  readonly #request: CallRequest;
  readonly #asked: CacheRequest;
  readonly #context: RequestContext;

  constructor(parts: Parts, rule: HttpCacheRule, request: CallRequest, asked: CacheRequest, context: RequestContext) {
    this.#parts = parts;
    this.#rule = rule;
    this.#request = request;
    this.#asked = asked;
    this.#context = context;
  }

  async run(): Promise<void> {
    const found = await this.#look();
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
    if (verdict?.kind === 'validate') return await this.#share(found, verdict.why);
    return await this.#share({ ...found, answer: null }, verdict === null ? found.missReason : 'miss');
  }

  async #look(): Promise<Found> {
    const { store } = this.#parts;
    const { primaryKey, headers } = this.#asked;
    const { entry, epoch } = await store.get(primaryKey);
    if (entry === null) return { key: primaryKey, answer: null, epoch, missReason: 'uri-miss' };
    const vary = readVary(entry);
    if (vary === null) return { key: primaryKey, answer: readAnswer(entry, []), epoch, missReason: 'uri-miss' };
    const key = variantKey(primaryKey, vary, headers);
    const variant = await store.get(key);
    const answer = variant.entry === null ? null : readAnswer(variant.entry, vary);
    return { key, answer, epoch: variant.epoch, missReason: 'vary-miss' };
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
    const outcome = await this.#wait(boarding.outcome);
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

  /** Ends with the outcome, or as `pass` when that takes too long. Rejects when the client leaves. */
  async #wait<T extends { readonly kind: string }>(outcome: Promise<T>): Promise<T | { readonly kind: 'pass' }> {
    const { departure, deadlineAtMs } = this.#context;
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly kind: 'pass' }>();
    const patienceMs = Math.min(longestWaitMs, (deadlineAtMs - this.#parts.now()) / 2);
    const timer = setTimeout(() => resolve({ kind: 'pass' }), Math.max(0, patienceMs));
    const unsubscribe = departure.subscribe(() => reject(new GatewayError('CLIENT_CLOSED_REQUEST')));
    try {
      return await Promise.race([outcome, promise]);
    } finally {
      clearTimeout(timer);
      unsubscribe();
    }
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
    const own = filterHeaders(
      this.#request.headers,
      (name) => name !== 'if-none-match' && name !== 'if-modified-since',
    );
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
    const { service } = this.#request;
    const { primaryKey } = this.#asked;
    flight?.end({ kind: 'kept', value: kept });
    const how = { ttlMs: kept.keepMs, tags: [serviceTag(service), pathTag(this.#request)], epoch };
    if (kept.vary.length > 0) {
      const names: VaryNames = { version: 1, vary: kept.vary };
      await store.set(primaryKey, { meta: names, body: Buffer.alloc(0) }, how);
    }
    const isStored = await store.set(kept.requestVariant, { meta: kept.head, body: kept.body }, how);
    if (isStored) observer.onStored(service, kept.body.length);
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

  #answer({ head, body }: KeptAnswer, status: CacheStatus, outcome: CacheOutcome, more: readonly string[] = []): void {
    const { receiver, method, service } = this.#request;
    this.#parts.observer.onRequest(service, outcome);
    const own = [
      'age',
      String(this.#parts.caching.ageSeconds(head)),
      'cache-status',
      formatCacheStatus(status),
      ...more,
    ];
    const isUnchanged = head.status === 200 && isNotModified(this.#asked.headers, toHeaderMap(head.rawHeaders));
    const raw = isUnchanged ? notModifiedHeaders(head.rawHeaders) : withLength(head, body);
    receiver.onHead(isUnchanged ? 304 : head.status, [...raw, ...own], noFlow);
    if (!isUnchanged && method !== 'HEAD' && body.length > 0) receiver.onData(body);
    receiver.onEnd([]);
  }
}

/** Refreshes in the background are no requests of anybody. */
function onlyStored(observer: CacheObserver): CacheObserver {
  return { onRequest() {}, onStored: (service, sizeBytes) => observer.onStored(service, sizeBytes) };
}

/** The length is known now, also of a body that came in chunks. A 204 has none (RFC 9110 section 8.6). */
function withLength({ status, rawHeaders }: StoredHead, body: Buffer): string[] {
  const others = filterHeaders(rawHeaders, (name) => name !== 'content-length');
  return status === 204 ? others : [...others, 'content-length', String(body.length)];
}

/** In the place of an answer: there are several, by these fields of requests. */
interface VaryNames {
  readonly version: 1;
  readonly vary: readonly string[];
}

function readVary({ meta }: CacheEntry): readonly string[] | null {
  return (meta as Partial<VaryNames>).vary ?? null;
}

function readAnswer({ meta, body }: CacheEntry, vary: readonly string[]): KeptAnswer | null {
  const head = meta as StoredHead;
  return head.version === 1 && head.policy !== undefined ? { head, body, vary, requestVariant: '', keepMs: 0 } : null;
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}
