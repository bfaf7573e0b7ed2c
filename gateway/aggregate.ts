/** Aggregates: several GETs at once, each by the normal call, and one JSON object of what came back. */
import { hash } from 'node:crypto';
import { buildHttpCacheRule } from '../policies/cache-options.ts';
import { DepartureSignal } from '../policies/departure-signal.ts';
import type { ErrorCode } from '../policies/errors.ts';
import { isNotModified } from '../policies/http-conditions.ts';
import { filterHeaders } from '../policies/http-headers.ts';
import type { Departure } from '../policies/request-context.ts';
import type { Call } from '../subgraphs/call.ts';
import type { HttpCache } from '../subgraphs/http-cache.ts';
import type { AggregateRoute } from './aggregate-options.ts';
import { Part, type PartDependencies, type PartOutcome } from './aggregate-part.ts';
import { type OwnExchange, sendEmpty, sendWhole } from './own-answer.ts';
import { buildOwnGate, type GateSettings, type OwnOutcome, type OwnRoute } from './own-routes.ts';
import { parsePartPath } from './part-template.ts';
import { type MissingPart, partialHeader } from './partial-answer.ts';
import { listParams } from './path-params.ts';

export interface AggregateDependencies extends Pick<PartDependencies, 'assertMayAsk'> {
  readonly call: Call;
  readonly cache: HttpCache;
  /** A part was not there, and the answer went out without it, or could not. */
  readonly onPartFailure: PartFailureListener;
}

export type PartFailureListener = (route: string, part: string, code: string) => void;

const methods = ['GET', 'HEAD'] as const;

/** The route of an aggregate whose options have no mistakes. */
export function buildAggregateRoute(
  path: string,
  options: AggregateRoute,
  settings: GateSettings,
  { call, cache, assertMayAsk, onPartFailure }: AggregateDependencies,
): OwnRoute {
  const gate = buildOwnGate({ kind: 'aggregate', methods, path, options }, settings);
  const known = { params: listParams(path), parts: new Set(Object.keys(options.parts)) };
  const rule = buildHttpCacheRule(options.cache, undefined);
  const send: Call = rule === null ? call : (request, context) => cache.serve(rule, request, context);
  const parts = Object.entries(options.parts).map(
    ([name, part]) =>
      new Part(name, part, parsePartPath(part.path, known), {
        gate: buildOwnGate({ kind: 'aggregate', methods, path, options, service: part.service }, settings),
        send,
        assertMayAsk,
      }),
  );
  const onFailure = (part: string, code: string): void => onPartFailure(gate.label, part, code);
  return { gate, methods, path, parts, answer: (exchange) => answerAggregate(parts, exchange, onFailure) };
}

async function answerAggregate(
  parts: readonly Part[],
  exchange: OwnExchange,
  onFailure: (part: string, code: string) => void,
): Promise<OwnOutcome> {
  exchange.context.calledAtMs = performance.now();
  const { outcomes, failure } = await askAll(parts, exchange);
  // Where the client has left, nobody knows what would have become of them.
  if (!exchange.context.departure.happened) {
    for (const [name, outcome] of outcomes) if (outcome.kind !== 'value') onFailure(name, codeOf(outcome));
  }
  if (failure !== null) return fail(failure, exchange);
  const missing: (MissingPart & { readonly status?: number })[] = [];
  const merged: Record<string, unknown> = {};
  for (const { name, fallback } of parts) {
    const outcome = outcomes.get(name);
    merged[name] = outcome?.kind === 'value' ? outcome.value : fallback;
    if (outcome === undefined || outcome.kind === 'value') continue;
    const told = { part: name, code: codeOf(outcome) };
    missing.push(outcome.kind === 'failed' ? told : { ...told, status: outcome.answer.status });
  }
  if (missing.length > 0) merged['_errors'] = missing;
  const body = JSON.stringify(merged);
  // Weak: whatever compresses the answer on its way leaves it.
  const etag = `W/"${hash('sha256', body, 'base64url').slice(0, 27)}"`;
  const lifetime = missing.length > 0 ? ['cache-control', 'no-store'] : joinLifetimes([...outcomes.values()], exchange);
  const headers = ['etag', etag, ...lifetime, ...partialHeader(missing)];
  const conditions = { 'if-none-match': exchange.request.headers['if-none-match'] };
  if (missing.length === 0 && isNotModified(conditions, { etag })) return sendEmpty(exchange, 304, headers);
  const outcome = await sendWhole(exchange, 200, [...headers, 'content-type', 'application/json'], body);
  return missing.length > 0 ? 'partial' : outcome;
}

type Failure = Exclude<PartOutcome, { readonly kind: 'value' }>;

/** What the service said to a part that is needed passes as it is; a failure of ours is that of the request. */
async function fail(outcome: Failure, exchange: OwnExchange): Promise<OwnOutcome> {
  if (outcome.kind === 'failed') throw outcome.error;
  const { status, body, rawHeaders } = outcome.answer;
  const kept = filterHeaders(rawHeaders, (name) => passed.has(name));
  await sendWhole(exchange, status, [...kept, 'cache-control', 'no-store'], body);
  return 'failed';
}

function codeOf(outcome: Failure): ErrorCode {
  return outcome.kind === 'failed' ? outcome.error.code : 'DOWNSTREAM_SERVICE_ERROR';
}

const passed: ReadonlySet<string> = new Set(['content-type', 'content-language', 'retry-after', 'www-authenticate']);

interface Asked {
  readonly outcomes: ReadonlyMap<string, PartOutcome>;
  /** What became of the first part that is needed and failed: the others are given up then. */
  readonly failure: Failure | null;
}

/** Each part as soon as those that it needs are there. */
async function askAll(parts: readonly Part[], exchange: OwnExchange): Promise<Asked> {
  const values = new Map<string, unknown>();
  const outcomes = new Map<string, PartOutcome>();
  const query = new URLSearchParams(exchange.target.query);
  const departure = new SharedDeparture(exchange.context.departure);
  const begun = new Map<string, Promise<void>>();
  let failure: Failure | null = null;

  const begin = (part: Part): Promise<void> => {
    const promise = begun.get(part.name) ?? ask(part);
    begun.set(part.name, promise);
    return promise;
  };
  const ask = async (part: Part): Promise<void> => {
    await Promise.all(parts.filter(({ name }) => part.needs.includes(name)).map(begin));
    if (departure.happened) return;
    const outcome = await part.ask({ params: exchange.params, query, parts: values }, exchange, departure);
    outcomes.set(part.name, outcome);
    values.set(part.name, outcome.kind === 'value' ? outcome.value : part.fallback);
    if (outcome.kind === 'value' || part.isOptional) return;
    failure ??= outcome;
    departure.happen();
  };
  await Promise.all(parts.map(begin));
  departure.end();
  return { outcomes, failure };
}

/** Nobody waits for a part any more: its client left, or another part failed that the answer cannot be without. */
class SharedDeparture extends DepartureSignal {
  readonly end: () => void;

  constructor(departure: Departure) {
    super();
    this.end = departure.subscribe(() => this.happen());
  }
}

/** All of it is fresh as long as the part that is so for the shortest time. What came by credentials is for nobody else. */
function joinLifetimes(outcomes: readonly PartOutcome[], { context, request }: OwnExchange): string[] {
  const lifetimes = outcomes.flatMap((outcome) => (outcome.kind === 'value' ? [outcome.lifetime] : []));
  const seconds = Math.min(...lifetimes.map(({ freshSeconds }) => freshSeconds));
  const { authorization, cookie } = request.headers;
  const isPersonal = context.viewer !== null || authorization !== undefined || cookie !== undefined;
  const who = isPersonal || lifetimes.some(({ isPrivate }) => isPrivate) ? 'private' : 'public';
  const vary = [...new Set(lifetimes.flatMap((lifetime) => lifetime.vary))];
  return [
    'cache-control',
    seconds > 0 ? `${who}, max-age=${seconds}` : 'private, no-cache',
    ...(vary.length > 0 ? ['vary', vary.join(', ')] : []),
  ];
}
