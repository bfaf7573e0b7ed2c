/**
 * Fields of entities with a timeout, a breaker or a fallback: each is asked for in a request of its own beside that for
 * the rest, so that a late or broken one leaves its siblings alone. It stands around the transport, below both engines.
 */
import type { ExecutionResult, GraphQLError, GraphQLSchema } from 'graphql';
import type { DegradedListener } from '../policies/degradation.ts';
import { DerivedContext } from '../policies/derived-context.ts';
import { GatewayError, toGatewayError } from '../policies/errors.ts';
import type { OutageGuard } from '../policies/outage-guard.ts';
import type { RequestContext } from '../policies/request-context.ts';
import { EntityAnswer, type LookUpTargets, listTargets } from './entity-answer.ts';
import { type EntityPart, type EntitySplit, splitEntities } from './entity-split.ts';
import type { SubgraphExecutor, SubgraphRequest } from './graph.ts';

/** The guards of fields, and what must be known of their types. It is another object whenever one of them changes. */
export interface EntityGuards {
  /** By `Type.field`, for fields of object types that are no root types. */
  readonly guards: ReadonlyMap<string, OutageGuard>;
  readonly possibleTypes: ReadonlyMap<string, ReadonlySet<string>>;
  readonly schema: GraphQLSchema;
}

export interface GuardedEntitiesOptions {
  readonly execute: SubgraphExecutor;
  /** As they are now; null where there are none. */
  readonly current: () => EntityGuards | null;
  readonly onDegraded: DegradedListener;
  /** @default performance.now */
  readonly now?: () => number;
}

type Split = EntitySplit<OutageGuard> | null;
type Part = EntityPart<OutageGuard>;

/** Requests whose split is known. There are about as many as plans. */
const maxSplits = 4_000;

/** Creates an executor that takes apart what has to be, and passes on the rest. */
export function createGuardedEntities(options: GuardedEntitiesOptions): SubgraphExecutor {
  const { execute, current } = options;
  let known = new Map<string, Split>();
  let knownFor: EntityGuards | null = null;

  function findSplit(query: string, guards: EntityGuards): Split {
    if (guards !== knownFor || known.size >= maxSplits) known = new Map();
    knownFor = guards;
    let split = known.get(query);
    if (split === undefined) {
      split = splitEntities(query, (type, field) => findGuard(guards, type, field));
      known.set(query, split);
    }
    return split;
  }

  return (request, context) => {
    const guards = current();
    if (guards === null || request.operationType !== 'query' || !request.query.includes('_entities')) {
      return execute(request, context);
    }
    const split = findSplit(request.query, guards);
    return split === null ? execute(request, context) : executeParts(options, guards, split, request, context);
  };
}

/** A selection on an interface asks for the field of every type that has it. */
function findGuard({ guards, possibleTypes }: EntityGuards, type: string, field: string): OutageGuard | undefined {
  const own = guards.get(`${type}.${field}`);
  if (own !== undefined) return own;
  for (const name of possibleTypes.get(type) ?? []) {
    const guard = guards.get(`${name}.${field}`);
    if (guard !== undefined) return guard;
  }
  return undefined;
}

async function executeParts(
  options: GuardedEntitiesOptions,
  guards: EntityGuards,
  { rest, guarded }: EntitySplit<OutageGuard>,
  request: SubgraphRequest,
  context: RequestContext,
): Promise<ExecutionResult> {
  const { variables = {} } = request;
  const answer = new EntityAnswer(variables, guards, (guard, code, substitute) => {
    if (substitute !== 'none') context.degraded?.push({ field: guard.name, code, with: substitute });
    options.onDegraded(guard.name, code, substitute);
  });
  const targetsOf = (part: Part): LookUpTargets[] => listTargets(part, variables, guards.possibleTypes);
  const asked = guarded
    .map((part) => ({ part, targets: targetsOf(part) }))
    // Left out by `@skip` or `@include`, or of types that nobody asks about.
    .filter(({ targets }) => targets.some(({ keys }) => keys.some((some) => some.length > 0)));
  const results = asked.map(({ part }) => askGuarded(options, part, request, context));
  const own = rest === null ? null : targetsOf(rest);
  if (rest !== null && own !== null && !answer.fillFromRepresentations(rest)) {
    answer.addRest(own, await settle(options.execute(buildRequest(rest, request), context)));
  }
  for (const [index, { part, targets }] of asked.entries()) {
    const result = await results[index];
    if (result !== undefined) answer.addGuarded(part, targets, result);
  }
  return answer.build([...(rest === null ? [] : [rest]), ...guarded]);
}

/** Never rejects: who asks waits for others first. */
async function askGuarded(
  { execute, now = () => performance.now() }: GuardedEntitiesOptions,
  part: Part,
  request: SubgraphRequest,
  context: RequestContext,
): Promise<ExecutionResult | GatewayError> {
  const { guard } = part;
  if (guard === null) throw new TypeError('the rest has no guard');
  let end: ReturnType<OutageGuard['begin']>;
  try {
    end = guard.begin();
  } catch (refusal) {
    return toGatewayError(refusal);
  }
  const isEndless = guard.timeoutMs === Number.POSITIVE_INFINITY;
  const own = isEndless ? context : new DerivedContext(context, { deadlineAtMs: now() + guard.timeoutMs });
  const result = await settle(execute(buildRequest(part, request), own));
  if (!hasFailure(result, guard)) end(context.departure.happened ? 'unknown' : 'succeeded');
  else {
    // A client that was in more of a hurry than the field may be says nothing about the field.
    const outOfTime = context.isHurried === true && now() >= context.deadlineAtMs - 1;
    end(context.departure.happened || outOfTime ? 'unknown' : 'failed');
  }
  return result;
}

function buildRequest({ query, variables }: Part, request: SubgraphRequest): SubgraphRequest {
  const given = Object.entries(request.variables ?? {});
  return { ...request, query, variables: Object.fromEntries(given.filter(([name]) => variables.has(name))) };
}

/** The answer, or why there is none; also where a service gives something that is no answer. */
async function settle(answer: Promise<ExecutionResult>): Promise<ExecutionResult | GatewayError> {
  try {
    const result: unknown = await answer;
    if (typeof result === 'object' && result !== null) return result as ExecutionResult;
    return new GatewayError('DOWNSTREAM_SERVICE_ERROR', 'A service did not answer with a GraphQL response');
  } catch (thrown) {
    return toGatewayError(thrown);
  }
}

function hasFailure(result: ExecutionResult | GatewayError, guard: OutageGuard): boolean {
  if (result instanceof GatewayError) return guard.isFailure(result.code, true);
  const { errors } = result;
  return Array.isArray(errors) && errors.some((error: unknown) => guard.isFailure(readErrorCode(error), false));
}

/** The code of a service's own error, whatever it sent. */
export function readErrorCode(error: unknown): string | undefined {
  const { extensions } = (error ?? {}) as Partial<GraphQLError>;
  return typeof extensions?.['code'] === 'string' ? extensions['code'] : undefined;
}
