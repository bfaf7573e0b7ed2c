/**
 * Kept answers of GraphQL queries. It looks in `onExecute`, after authentication, limits, validation and authorization,
 * and before either engine: whoever gets an answer from here might have had it from the services.
 */
import type { ExecutionArgs } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { AnswerLifetime } from '../policies/answer-lifetime.ts';
import { type CacheFlights, createCacheFlights } from '../policies/cache-flights.ts';
import type { OperationCaching } from '../policies/cache-hints.ts';
import { type CacheStatus, formatCacheStatus } from '../policies/cache-status.ts';
import type { CacheStore } from '../policies/cache-store.ts';
import { readEntities, tagsOfChange } from '../policies/cached-entities.ts';
import { isInBraces } from '../policies/header-template.ts';
import type { GraphqlContext } from '../policies/request-context.ts';
import { type KeptOperation, keptLifeMs, readData, readKept } from './kept-operation.ts';
import type { CacheMetrics } from './metrics-cache.ts';
import { buildKeptAnswer } from './planned-execution.ts';
import {
  buildOperationKey,
  createOperationLookUp,
  isForViewer,
  type KnownOperation,
  type OperationKnowledge,
  withoutCredentials,
} from './response-cache-key.ts';
import { type Execute, KeepingRun } from './response-cache-run.ts';

export interface ResponseCacheOptions extends OperationKnowledge {
  readonly graphId: string;
  readonly store: CacheStore;
  readonly idFields: readonly string[];
  readonly maxBodyBytes: number;
  /** How long a stale answer is given out while a new one is made, and in place of an outage. */
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  /** Whether answers are told how long they may be kept on their way. */
  readonly clientHeaders: boolean;
  /** Whether no answer is for everyone who asks a cache on the way: nobody gets one unknown, or it is changed for each. */
  readonly answersArePrivate: boolean;
  /** What services are told of a request: in lower case the client's headers, and other things in braces. */
  readonly forwardedHeaders: () => readonly string[];
  readonly metrics: Pick<CacheMetrics, 'onOperation' | 'onOperationStored'>;
  readonly now?: () => number;
}

/** What the plugins have in common. */
export interface ResponseCacheParts {
  readonly options: ResponseCacheOptions;
  readonly now: () => number;
  readonly flights: CacheFlights<KeptOperation>;
  /** Refreshes in the background that are under way. */
  readonly refreshing: Set<string>;
  /** Tells the client, and caches on the way, what became of its request. */
  readonly tell: (looked: Looked, kept: KeptOperation | null, status: CacheStatus) => void;
}

/** An operation that was looked up, and whose answer is not given out as a fresh one. */
export interface Looked {
  readonly key: string;
  readonly known: KnownOperation;
  readonly caching: OperationCaching;
  readonly args: ExecutionArgs;
  readonly epoch: number;
  readonly stale: KeptOperation | null;
  readonly gateway: GraphqlContext['gateway'];
}

type GraphqlPlugin = Plugin<object, GraphqlContext>;

export interface ResponseCache {
  /** Stands before everything that executes: answers queries from the store, and drops what mutations changed. */
  readonly lookUp: GraphqlPlugin;
  /** Stands after everything that chooses who executes: shares what is executed, keeps it, and hides outages. */
  readonly keeping: GraphqlPlugin;
}

/** Creates the two plugins. */
export function createResponseCache(options: ResponseCacheOptions): ResponseCache {
  const { store, schema, metrics, now = Date.now } = options;
  const know = createOperationLookUp(options);
  const looked = new WeakMap<ExecutionArgs, Looked>();
  const parts: ResponseCacheParts = {
    options,
    now,
    flights: createCacheFlights(),
    refreshing: new Set(),
    tell: (of, kept, status) => tell(options, of, kept, status, now()),
  };

  async function look(found: Omit<Looked, 'epoch' | 'stale'>, answer: (result: never) => void): Promise<void> {
    const { entry, epoch } = await store.get(found.key);
    const kept = readKept(entry);
    const own = { ...found, epoch, stale: kept };
    if (kept !== null && now() - kept.storedAt < kept.maxAgeMs) {
      metrics.onOperation('hit');
      parts.tell(own, kept, { ttlSeconds: keptLifeMs(kept, now()) / 1_000 });
      answer(buildKeptAnswer(kept.json) as never);
      return;
    }
    // One for all operations of a batch: what one of them learns may only shorten what holds for the others.
    found.gateway.lifetime ??= new AnswerLifetime();
    looked.set(found.args, own);
  }

  /** Also of a mutation that failed in part. Awaited: whoever has its answer gets no older one. */
  async function drop({ document }: ExecutionArgs, { operation }: KnownOperation, result: unknown): Promise<void> {
    const data = readData(result);
    if (data === null) return;
    const entities = readEntities({ schema, document, operation, idFields: options.idFields }, JSON.parse(data));
    const tags = tagsOfChange(entities);
    // A store that cannot be asked lets what it has run out.
    if (tags.length > 0) await Promise.resolve(store.invalidate(tags)).catch(() => {});
  }

  return {
    lookUp: {
      onExecute({ args, setResultAndStopExecution }) {
        const known = know(args);
        if (known === null) return undefined;
        if (known.operation.operation === 'mutation')
          return { onExecuteDone: ({ result }) => drop(args, known, result) };
        const { caching } = known;
        if (caching === null) return undefined;
        const { gateway, isFiltered } = args.contextValue as unknown as GraphqlContext;
        // Its answer has errors in the end, in place of what this viewer may not read.
        if (isFiltered === true) {
          metrics.onOperation('bypass');
          return undefined;
        }
        const key = buildOperationKey(options.graphId, known, caching, args, gateway, options.forwardedHeaders());
        // What is for one viewer is not kept for somebody whom nobody knows.
        if (key === null) {
          metrics.onOperation('bypass');
          return undefined;
        }
        return look({ key, known, caching, args, gateway }, setResultAndStopExecution);
      },
    },
    keeping: {
      onExecute({ args, executeFn, setExecuteFn }) {
        const found = looked.get(args);
        if (found === undefined) return;
        setExecuteFn((own: ExecutionArgs) => new KeepingRun(parts, found, executeFn as Execute, own).run() as never);
      },
    },
  };
}

function tell(
  { clientHeaders, answersArePrivate, forwardedHeaders }: ResponseCacheOptions,
  { gateway, caching }: Looked,
  kept: KeptOperation | null,
  status: CacheStatus,
  nowMs: number,
): void {
  gateway.cacheStatus = formatCacheStatus(status);
  if (!clientHeaders || kept === null) return;
  const told = forwardedHeaders();
  const forwarded = told.filter((name) => !isInBraces(name));
  // What stands in braces is in our keys, and no cache on the way could tell it by the request's headers.
  const isOwn = isForViewer(caching) || answersArePrivate || forwarded.length < told.length;
  gateway.freshness = {
    maxAgeMs: kept.maxAgeMs,
    ageMs: Math.max(0, nowMs - kept.storedAt),
    isPrivate: isOwn || kept.isPrivate,
    vary: isOwn ? ['authorization', 'cookie', 'x-api-key', ...forwarded] : withoutCredentials(forwarded),
  };
}
