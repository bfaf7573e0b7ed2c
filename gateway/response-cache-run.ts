/** The execution of a query whose answer may be kept: by one for all who ask at once, or behind a stale answer. */
import type { ExecutionArgs, GraphQLError } from 'graphql';
import { AnswerLifetime } from '../policies/answer-lifetime.ts';
import { type Flight, waitForFlight } from '../policies/cache-flights.ts';
import { fieldTag, readEntities, tagsOfAnswer } from '../policies/cached-entities.ts';
import { DerivedContext } from '../policies/derived-context.ts';
import { GatewayError } from '../policies/errors.ts';
import { isOutage } from '../policies/outage-guard.ts';
import type { GraphqlContext, RequestContext } from '../policies/request-context.ts';
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
    // Where headers of services reach clients, those who ask at once share requests instead: with them come the headers.
    if (this.#looked.gateway.serviceHeaders !== undefined) return await this.#fetch(null);
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
    const kept = this.#keep(result, gateway, flight);
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
    if (boarding.kind === 'follow') return;
    const flight = boarding.kind === 'lead' ? boarding.flight : null;
    refreshing.add(key);
    // Not a part of the request: that ends now, and its client's leaving would end the refresh as well.
    const own = { lifetime: new AnswerLifetime(), serviceHeaders: gateway.serviceHeaders?.fork() };
    const detached = new DerivedContext(gateway, { detached: true, ...own });
    const contextValue: GraphqlContext = { ...(this.#args.contextValue as GraphqlContext), gateway: detached };
    void Promise.resolve(this.#execute({ ...this.#args, contextValue }))
      .then((result) => {
        const isGone = this.#keep(result, detached, flight) === null && readWhole(result, detached) !== null;
        // A new answer that is not to be kept is no reason to give out the old one any longer.
        return isGone ? this.#parts.options.store.delete(key) : undefined;
      })
      .catch(() => {})
      .finally(() => {
        refreshing.delete(key);
        flight?.end({ kind: 'pass' });
      });
  }

  /** Keeps the answer, and gives it to those who wait; null where it is for the one who asked. */
  #keep(result: unknown, executed: RequestContext, flight: Flight<KeptOperation> | null): KeptOperation | null {
    const { options, now } = this.#parts;
    const { key, known, caching, args, epoch } = this.#looked;
    const json = readWhole(result, executed);
    if (json === null) {
      // What is refused for what stands in it, or beside it, will be the next time too; an error may not.
      if (listErrors(result).length === 0) flight?.end({ kind: 'pass' }, true);
      return null;
    }
    const lifetime = executed.lifetime ?? new AnswerLifetime();
    const maxAgeMs = Math.min(caching.maxAgeMs, lifetime.maxAgeMs);
    const { isPrivate, isStrict } = lifetime;
    // The key of an answer for everyone does not say who asked. A cookie is for one client, and then the answer may be too.
    const isForOthers = (!isPrivate || isForViewer(caching)) && executed.serviceHeaders?.setsCookies !== true;
    if (maxAgeMs <= 0 || !isForOthers || byteLength(json) > options.maxBodyBytes) {
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

/** Substitutes for entities do not show in the result itself: who executes notes them in the request. */
function readWhole(result: unknown, { degraded = [] }: RequestContext): string | null {
  return degraded.length > 0 ? null : readWholeData(result);
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
