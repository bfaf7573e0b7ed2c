/**
 * The cache before the call, for routes that opted in: a shared cache by RFC 9111. Whoever gets here has passed
 * authentication, limits and authorization. Bodies stream to the client while they are kept; what will not be kept is
 * never held.
 */
import { createCacheFlights } from '../policies/cache-flights.ts';
import type { HttpCacheRule } from '../policies/cache-options.ts';
import type { CacheStore } from '../policies/cache-store.ts';
import { createHttpCaching } from '../policies/http-caching.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { buildPathTag } from './cache-tags.ts';
import type { Call, CallRequest } from './call.ts';
import { type CacheObserver, Exchange, type ExchangeParts } from './http-cache-exchange.ts';
import { buildCacheRequest, type CacheRequest } from './http-cache-key.ts';
import { withCacheStatus } from './kept-answer.ts';
import { withHead } from './watched-head.ts';

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

/** Creates the cache of one process before a call. */
export function createHttpCache(options: HttpCacheOptions): HttpCache {
  const parts: ExchangeParts = {
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
      if (mustBypass(request, cacheRequest)) return bypass(parts, rule, request, context);
      return new Exchange(parts, rule, request, cacheRequest, context).run();
    },
  };
}

/** Preconditions about the state of the resource are for the service to judge (RFC 9110 section 13.1.1). */
function mustBypass(request: CallRequest, { headers }: CacheRequest): boolean {
  return request.body !== null || 'if-match' in headers || 'if-unmodified-since' in headers;
}

function bypass(
  { call, observer }: ExchangeParts,
  rule: HttpCacheRule,
  request: CallRequest,
  context: RequestContext,
): Promise<void> {
  observer.onRequest(request.service, 'bypass');
  const receiver = withCacheStatus(request.receiver, rule, { forward: 'bypass' });
  return call({ ...request, receiver }, context);
}

/** RFC 9111 section 4.4: what changed something makes what is kept of it invalid. */
async function passUnsafe(
  { call, store }: ExchangeParts,
  request: CallRequest,
  context: RequestContext,
): Promise<void> {
  const { receiver } = request;
  let dropping: Promise<unknown> | undefined;
  const watching = withHead(receiver, (status, raw, flow) => {
    const isSafe = request.method === 'OPTIONS' || request.method === 'TRACE';
    // Begun before the client hears of it: with a store in memory it has happened then.
    if (!isSafe && status < 400) dropping = drop(store, buildPathTag(request.service, request.path));
    receiver.onHead(status, raw, flow);
  });
  await call({ ...request, receiver: watching }, context);
  await dropping;
}

/** A store that cannot be asked now lets what it has run out. */
async function drop(store: CacheStore, tag: string): Promise<void> {
  await Promise.resolve(store.invalidate([tag])).catch(() => {});
}
