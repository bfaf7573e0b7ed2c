/** The execution of a query whose answer may be kept: by one for all who ask at once, or behind a stale answer. */
import type { ExecutionArgs, GraphQLError } from 'graphql';
import { AnswerLifetime } from '../policies/answer-lifetime.ts';
import { type Flight, waitForFlight } from '../policies/cache-flights.ts';
import { fieldTag, readEntities, tagsOfAnswer } from '../policies/cached-entities.ts';
import { GatewayError } from '../policies/errors.ts';
import { isOutage } from '../policies/field-resilience.ts';
import type { GraphqlContext } from '../policies/request-context.ts';
import { createDetachedContext } from '../subgraphs/detached-context.ts';
import { findGatewayError } from './graphql-errors.ts';
import { buildEntry, type KeptOperation, keptLifeMs, readWholeData } from './kept-operation.ts';
import { buildKeptAnswer } from './planned-execution.ts';
import type { Looked, ResponseCacheParts } from './response-cache.ts';
import { isForViewer } from './response-cache-key.ts';

export type Execute = (args: ExecutionArgs) => unknown;

/** Most refreshes in the background at once; who finds as many under way leaves it to the next one. */
const maxRefreshes = 32;

/** One query that was not found fresh. */
export class KeepingRun {
  readonly #parts: ResponseCacheParts;
  readonly #looked: Looked;
  readonly #execute: Execute;
  readonly #args: ExecutionArgs;

  constructor(parts: ResponseCacheParts, looked: Looked, execute: Execute, args: ExecutionArgs) {
    this.#parts = parts;
    this.#looked = looked;
    this.#execute = execute;
    this.#args = args;
  }

  async run(): Promise<unknown> {
    const { stale } = this.#looked;
    const { options } = this.#parts;
    if (stale !== null && this.#isStaleFor(stale, options.staleWhileRevalidateMs)) {
      this.#refresh();
      return this.#giveStale(stale, 'stale-while-revalidate');
    }
    const boarding = this.#parts.flights.board(this.#looked.key);
    if (boarding.kind === 'alone') return await this.#fetch(null);
    if (boarding.kind === 'lead') return await this.#lead(boarding.flight);
    const outcome = await waitForFlight(boarding.outcome, this.#looked.gateway);
    if (outcome.kind === 'left') return await this.run();
    if (outcome.kind !== 'kept') return await this.#fetch(null);
    options.metrics.onOperation('collapsed');
    this.#parts.tell(this.#looked, outcome.value, { forward: this.#why(), collapsed: true });
    return buildKeptAnswer(outcome.value.json);
  }

  async #lead(flight: Flight<KeptOperation>): Promise<unknown> {
    try {
      return await this.#fetch(flight);
    } finally {
      // Nobody shall wait for what has ended, however it did.
      flight.end({ kind: this.#looked.gateway.departure.happened ? 'left' : 'pass' });
    }
  }

  async #fetch(flight: Flight<KeptOperation> | null): Promise<unknown> {
    const { stale, gateway } = this.#looked;
    const { options, tell } = this.#parts;
    const mayHide = stale !== null && this.#isStaleFor(stale, options.staleIfErrorMs);
    let result: unknown;
    try {
      result = await this.#execute(this.#args);
    } catch (thrown) {
      if (!mayHide || !isOutageOfService(thrown) || gateway.departure.happened) {
        options.metrics.onOperation('miss');
        throw thrown;
      }
      return this.#giveStale(stale, 'stale-if-error');
    }
    if (mayHide && !gateway.departure.happened && listErrors(result).some(isOutageOfService))
      return this.#giveStale(stale, 'stale-if-error');
    options.metrics.onOperation('miss');
    const kept = this.#keep(result, gateway.lifetime ?? new AnswerLifetime(), flight);
    tell(this.#looked, kept, { forward: this.#why() });
    return result;
  }

  #giveStale(stale: KeptOperation, detail: 'stale-while-revalidate' | 'stale-if-error'): unknown {
    const { options, tell, now } = this.#parts;
    options.metrics.onOperation('stale');
    const life = { ttlSeconds: keptLifeMs(stale, now()) / 1_000, detail };
    tell(this.#looked, stale, detail === 'stale-if-error' ? { forward: 'stale', detail } : life);
    return buildKeptAnswer(stale.json);
  }

  /** For the next ones; nobody waits for it. */
  #refresh(): void {
    const { refreshing, flights } = this.#parts;
    const { key, gateway } = this.#looked;
    if (refreshing.has(key) || refreshing.size >= maxRefreshes) return;
    const boarding = flights.board(key);
    if (boarding.kind !== 'lead') return;
    refreshing.add(key);
    // Not a part of the request: that ends now, and its client's leaving would end the refresh as well.
    const detached = createDetachedContext(gateway);
    const lifetime = new AnswerLifetime();
    detached.lifetime = lifetime;
    const contextValue: GraphqlContext = { ...(this.#args.contextValue as GraphqlContext), gateway: detached };
    void Promise.resolve(this.#execute({ ...this.#args, contextValue }))
      .then((result) => {
        const isGone = this.#keep(result, lifetime, boarding.flight) === null && listErrors(result).length === 0;
        // A new answer that is not to be kept is no reason to give out the old one any longer.
        return isGone ? this.#parts.options.store.delete(key) : undefined;
      })
      .catch(() => {})
      .finally(() => {
        refreshing.delete(key);
        boarding.flight.end({ kind: 'pass' });
      });
  }

  /** Keeps the answer, and gives it to those who wait; null where it is for the one who asked. */
  #keep(result: unknown, lifetime: AnswerLifetime, flight: Flight<KeptOperation> | null): KeptOperation | null {
    const { options, now } = this.#parts;
    const { key, known, caching, args, epoch } = this.#looked;
    const json = readWholeData(result);
    if (json === null) return null;
    const maxAgeMs = Math.min(caching.maxAgeMs, lifetime.maxAgeMs);
    const { isPrivate, isStrict } = lifetime;
    // The key of an answer for everyone does not say who asked.
    const isKept = maxAgeMs > 0 && (!isPrivate || isForViewer(caching)) && byteLength(json) <= options.maxBodyBytes;
    if (!isKept) {
      flight?.end({ kind: 'pass' }, true);
      return null;
    }
    const kept: KeptOperation = { json, storedAt: now(), maxAgeMs, isPrivate, isStrict };
    flight?.end({ kind: 'kept', value: kept });
    const { schema, idFields, store, metrics } = options;
    const { document } = args;
    const entities = readEntities({ schema, document, operation: known.operation, idFields }, JSON.parse(json));
    const tags = [...caching.rootFields.map(fieldTag), ...tagsOfAnswer(entities), ...lifetime.tags];
    const staleMs = isStrict ? 0 : Math.max(options.staleWhileRevalidateMs, options.staleIfErrorMs);
    // Nobody waits for a store elsewhere.
    void Promise.resolve(store.set(key, buildEntry(kept), { ttlMs: maxAgeMs + staleMs, tags, epoch })).then(
      (isStored) => isStored && metrics.onOperationStored(byteLength(json)),
    );
    return kept;
  }

  #isStaleFor(stale: KeptOperation, longestMs: number): boolean {
    return !stale.isStrict && longestMs > 0 && -keptLifeMs(stale, this.#parts.now()) < longestMs;
  }

  #why(): 'stale' | 'uri-miss' {
    return this.#looked.stale === null ? 'uri-miss' : 'stale';
  }
}

function byteLength(text: string): number {
  return Buffer.byteLength(text, 'utf8');
}

function listErrors(result: unknown): readonly GraphQLError[] {
  const { errors } = (result ?? {}) as { readonly errors?: readonly GraphQLError[] };
  return errors ?? [];
}

/** Not what a service says of the question, but that it is not there or has no answer. */
function isOutageOfService(error: unknown): boolean {
  const ours = error instanceof GatewayError ? error : findGatewayError(error);
  return ours !== undefined && isOutage(ours.code);
}
