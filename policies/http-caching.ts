/// <reference path="./http-cache-semantics.d.ts" />
/**
 * What a shared cache may keep, and when it may give it out again (RFC 9111), over plain values. Freshness and the
 * directives of requests are decided by http-cache-semantics; what it reads too loosely or too strictly is prepared for
 * it here, and what concerns viewers is decided here alone.
 */
import CachePolicy from 'http-cache-semantics';
import { type CacheControl, formatCacheControl, parseCacheControl, readMs } from './cache-control.ts';
import type { HttpCacheRule } from './cache-options.ts';
import { matchesWeakly } from './http-conditions.ts';
import { filterHeaders, parseNames, toHeaderMap } from './http-headers.ts';

/** A request as its service sees it. */
export interface CacheableRequest {
  /** By name in lower case, those of the gateway included. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether anything in it says who asks: a viewer, `Authorization`, a cookie. */
  readonly credentialed: boolean;
}

/** The head of an answer: end-to-end fields only. */
export interface AnswerHead {
  readonly status: number;
  readonly rawHeaders: readonly string[];
}

/** What is kept of an answer beside its body. Plain data. */
export interface StoredHead extends AnswerHead {
  readonly version: 1;
  /** Of http-cache-semantics. */
  readonly policy: object;
  /** Whether requests with credentials may have it (RFC 9111 section 3.5). */
  readonly forEveryone: boolean;
  /** Whether it may never be given out stale (RFC 9111 section 4.2.4). */
  readonly strict: boolean;
  readonly staleIfErrorMs: number;
}

export type StoreVerdict =
  | {
      readonly kind: 'keep';
      readonly head: StoredHead;
      /** Fields of the request that the answer depends on, sorted. */
      readonly vary: readonly string[];
      readonly keepMs: number;
      /** Whether it may be given out without asking the service first. */
      readonly fresh: boolean;
    }
  | { readonly kind: 'pass' };

export type UseVerdict =
  | { readonly kind: 'use'; readonly refresh: boolean; readonly ttlSeconds: number }
  /** The service has to be asked first: because the answer is stale, or because the request wants it. */
  | { readonly kind: 'validate'; readonly why: 'stale' | 'request'; readonly ttlSeconds: number }
  /** Not for who asks. */
  | { readonly kind: 'other' };

export interface HttpCaching {
  /** Whether an answer to GET may be kept, and for how long. */
  judge(request: CacheableRequest, answer: AnswerHead, rule: HttpCacheRule): StoreVerdict;
  /** Whether a kept answer may be given out. */
  evaluate(head: StoredHead, request: CacheableRequest): UseVerdict;
  /** Whether it may be given out in place of a failure. */
  mayServeInsteadOfFailure(head: StoredHead, request: CacheableRequest): boolean;
  ageSeconds(head: StoredHead): number;
}

const pass: StoreVerdict = { kind: 'pass' };
/** How long something stale is kept for the sake of its validator: a 304 is cheaper than a body. */
const validatorMemoryMs = 3_600_000;
/** Fields that are about one exchange, or one viewer, and therefore stay out of what is kept. */
const ofOneExchange: ReadonlySet<string> = new Set([
  'age',
  'proxy-status',
  'ratelimit',
  'ratelimit-policy',
  'server-timing',
  'traceresponse',
  'warning',
  'x-request-id',
]);

/** Creates the decisions, over a clock in milliseconds since 1970. */
export function createHttpCaching(now: () => number = Date.now): HttpCaching {
  class ClockedPolicy extends CachePolicy {
    override now(): number {
      return now();
    }
  }
  const revive = (head: StoredHead) => new ClockedPolicy(undefined, undefined, { _fromObject: head.policy });
  const readRequest = (headers: CacheableRequest['headers'], strict: boolean) => {
    const directives = new Map(parseCacheControl(headers['cache-control']));
    // What may not be stale may not be so either for a client that does not mind.
    if (strict) directives.delete('max-stale');
    const { pragma } = headers;
    return {
      method: 'GET',
      headers: {
        ...(directives.size > 0 && { 'cache-control': formatCacheControl(directives) }),
        ...(pragma !== undefined && headers['cache-control'] === undefined && { pragma: pragma.toLowerCase() }),
      },
    };
  };

  return {
    judge(request, answer, rule) {
      const headers = toHeaderMap(answer.rawHeaders);
      // RFC 9111 section 5.4: what older services say in place of Cache-Control.
      const isOld = headers['cache-control'] === undefined && /no-cache/i.test(headers['pragma'] ?? '');
      const given = parseCacheControl(isOld ? 'no-cache' : headers['cache-control']);
      const vary = [...new Set(parseNames(headers['vary']))].toSorted();
      if (headers['set-cookie'] !== undefined || vary.includes('*') || isEndless(headers)) return pass;
      const forEveryone = given.has('public') || given.has('s-maxage') || given.has('must-revalidate');
      if (request.credentialed && !forEveryone) return pass;
      const directives = complete(given, headers, answer.status, rule);
      const { vary: _, pragma: __, ...known } = headers;
      const policy = new ClockedPolicy(
        readRequest(request.headers, false),
        { status: answer.status, headers: { ...known, 'cache-control': formatCacheControl(directives) } },
        { shared: true, cacheHeuristic: 0 },
      );
      if (!policy.storable()) return pass;
      const strict = isStrict(given);
      const staleIfErrorMs = strict ? 0 : (readMs(directives, 'stale-if-error') ?? 0);
      const head: StoredHead = {
        version: 1,
        status: answer.status,
        rawHeaders: keptHeaders(answer.rawHeaders, now()),
        policy: policy.toObject(),
        forEveryone,
        strict,
        staleIfErrorMs,
      };
      const freshMs = Math.max(0, (policy.maxAge() - policy.age()) * 1_000);
      const hasValidator = headers['etag'] !== undefined || headers['last-modified'] !== undefined;
      const whileMs = readMs(directives, 'stale-while-revalidate') ?? 0;
      const staleMs = Math.max(whileMs, staleIfErrorMs, hasValidator ? validatorMemoryMs : 0);
      const keepMs = freshMs + staleMs;
      return keepMs === 0 ? pass : { kind: 'keep', head, vary, keepMs, fresh: freshMs + whileMs > 0 };
    },
    evaluate(head, request) {
      // Stricter than RFC 9111 section 3.5, which speaks of storing only: an answer that was made for nobody in
      // particular, and does not say that it is for everyone, is not given to somebody.
      if (request.credentialed && !head.forEveryone) return { kind: 'other' };
      const policy = revive(head);
      const ttlSeconds = policy.maxAge() - policy.age();
      const { response, revalidation } = policy.evaluateRequest(readRequest(request.headers, head.strict));
      if (response !== undefined) return { kind: 'use', refresh: revalidation !== undefined, ttlSeconds };
      return { kind: 'validate', why: policy.stale() ? 'stale' : 'request', ttlSeconds };
    },
    mayServeInsteadOfFailure(head, request) {
      if (head.strict || (request.credentialed && !head.forEveryone)) return false;
      const policy = revive(head);
      return (policy.age() - policy.maxAge()) * 1_000 < head.staleIfErrorMs;
    },
    ageSeconds: (head) => Math.max(0, Math.floor(revive(head).age())),
  };
}

/** What the request has to say so that the service need not send again what is kept (RFC 9111 section 4.3.1). */
export function validators(head: StoredHead): string[] {
  const { etag, 'last-modified': lastModified } = toHeaderMap(head.rawHeaders);
  return [
    ...(etag === undefined ? [] : ['if-none-match', etag]),
    ...(lastModified === undefined ? [] : ['if-modified-since', lastModified]),
  ];
}

/**
 * What is kept, with what a 304 says (RFC 9111 section 3.2); null when the 304 is about something else. Its Set-Cookie is
 * for the one who asked.
 */
export function freshen(head: StoredHead, rawHeaders: readonly string[]): AnswerHead | null {
  const news = toHeaderMap(rawHeaders);
  const { etag } = toHeaderMap(head.rawHeaders);
  if (etag !== undefined && news['etag'] !== undefined && !matchesWeakly(etag, news['etag'])) return null;
  const replaces = (name: string) =>
    name !== 'set-cookie' && (!name.startsWith('content-') || name === 'content-location') && news[name] !== undefined;
  return {
    status: head.status,
    rawHeaders: [
      ...filterHeaders(head.rawHeaders, (name) => !replaces(name)),
      ...filterHeaders(rawHeaders, (name) => replaces(name)),
    ],
  };
}

/** The directives of an answer with what the rule adds, without those that http-cache-semantics takes too far. */
function complete(
  given: CacheControl,
  headers: Readonly<Record<string, string>>,
  status: number,
  rule: HttpCacheRule,
): CacheControl {
  const directives = new Map(given);
  // To it, these make an answer stale from the start; RFC 9111 sections 5.2.2.2 and 5.2.2.8: they are about stale ones.
  directives.delete('must-revalidate');
  directives.delete('proxy-revalidate');
  // RFC 8246 gives no time; the library takes a day.
  directives.delete('immutable');
  const seconds = (ms: number) => String(Math.ceil(ms / 1_000));
  const speaks = ['max-age', 's-maxage', 'no-cache', 'no-store', 'private'].some((name) => given.has(name));
  const isSuccess = status === 200 || status === 203;
  if (!speaks && headers['expires'] === undefined && isSuccess) {
    if (rule.ttlMs !== undefined) directives.set('max-age', seconds(rule.ttlMs));
  }
  const { staleWhileRevalidateMs: while_, staleIfErrorMs: ifError } = rule;
  const mayBeStale = !isStrict(given) && !given.has('s-maxage');
  if (mayBeStale && while_ !== undefined && !given.has('stale-while-revalidate'))
    directives.set('stale-while-revalidate', seconds(while_));
  if (mayBeStale && ifError !== undefined && !given.has('stale-if-error'))
    directives.set('stale-if-error', seconds(ifError));
  if (isStrict(given)) {
    directives.delete('stale-while-revalidate');
    directives.delete('stale-if-error');
  }
  return directives;
}

/**
 * RFC 9111 section 4.2.4. `s-maxage` forbids it as well (section 5.2.2.10), unless the answer itself allows it beside
 * (RFC 5861), which is how services mean it for caches like this one.
 */
function isStrict(given: CacheControl): boolean {
  if (['must-revalidate', 'proxy-revalidate', 'no-cache'].some((name) => given.has(name))) return true;
  return given.has('s-maxage') && !given.has('stale-while-revalidate') && !given.has('stale-if-error');
}

/** Events have no end; a body without a length, ended by the connection, may be a part (RFC 9111 section 3.3). */
function isEndless(headers: Readonly<Record<string, string>>): boolean {
  return headers['content-type']?.trim().toLowerCase().startsWith('text/event-stream') === true;
}

/** RFC 9110 section 6.6.1: a recipient with a clock adds the date that is missing. */
function keptHeaders(raw: readonly string[], nowMs: number): string[] {
  const kept = filterHeaders(raw, (name) => !ofOneExchange.has(name) && !name.startsWith('x-ratelimit-'));
  const hasDate = kept.some((name, index) => index % 2 === 0 && name.toLowerCase() === 'date');
  return hasDate ? kept : [...kept, 'date', new Date(nowMs).toUTCString()];
}
