/**
 * The second engine: operations with a plan that is made once and compiled. It takes what it can answer exactly as the
 * stitched schema would, and leaves the rest to that.
 */
import { type DocumentNode, getOperationAST, print, separateOperations, validate } from 'graphql';
import { type Log, silentLog } from '../subgraphs/log.ts';
import { guardAliases, listFieldNames } from './alias-guard.ts';
import type { Graph, SubgraphExecutor } from './graph.ts';
import { splitOperation } from './operation-split.ts';
import { PlanCache } from './plan-cache.ts';
import { compilePlan } from './plan-compiler.ts';
import { UnsupportedPlanError } from './plan-errors.ts';
import { buildPlannableDocument } from './plannable-document.ts';
import type { PlannedOperation } from './planned-operation.ts';
import type { Planner, PlanOutcome } from './planner.ts';
import type { PlanNode, QueryPlan } from './query-plan.ts';

/** What makes an operation of a plan. */
export type CompilePlan = typeof compilePlan;

export interface PlannedEngineOptions {
  readonly graph: Graph;
  readonly planner: Planner;
  /** @default that of plan-compiler.ts */
  readonly compilePlan?: CompilePlan;
  readonly execute: SubgraphExecutor;
  /** @default 'pass' */
  readonly subgraphErrors?: 'pass' | 'mask';
  /** Documents whose plans are kept. @default 2_000 */
  readonly maxPlans?: number;
  /** Characters of those documents together. @default 8_000_000 */
  readonly maxCharacters?: number;
  /** How long a request waits for a plan before it is stitched. The plan is there for the next one. @default 250 */
  readonly patienceMs?: number;
  readonly now?: () => number;
  readonly log?: Log;
}

/** The operation when it is planned; null when it is to be stitched. */
export type Prepared = PlannedOperation | null;

export interface PlannedEngine {
  /**
   * Looks for the plan of an operation in a document that is valid against the public schema, or makes one. At once when
   * it is known; never rejects.
   */
  prepare(document: DocumentNode, text: string, operationName?: string | null): Prepared | Promise<Prepared>;
  /** Documents with the names of their operations, the most used first. */
  mostUsed(count: number): readonly UsedOperation[];
  readonly size: number;
}

export interface UsedOperation {
  readonly text: string;
  /** Empty for an operation without a name. */
  readonly operationName: string;
}

/** What is known of one operation. */
interface Entry {
  prepared: Prepared | Promise<Prepared>;
  /** When to try again: nothing was decided, because the planner was away. */
  retryAtMs: number;
  uses: number;
}

const retryAfterMs = 1_000;

/** Creates the engine of one graph. */
export function createPlannedEngine(options: PlannedEngineOptions): PlannedEngine {
  const { patienceMs = 250, now = () => performance.now() } = options;
  const fieldNames = listFieldNames(options.graph.schema);
  const cache = new PlanCache<Map<string, Entry>>({
    maxEntries: options.maxPlans ?? 2_000,
    maxCharacters: options.maxCharacters ?? 8_000_000,
  });

  function begin(document: DocumentNode, text: string, name: string, byName: Map<string, Entry>): Entry {
    const entry: Entry = { prepared: null, retryAtMs: Number.POSITIVE_INFINITY, uses: 0 };
    const making = makeOperation(options, fieldNames, document, name).then((made) => {
      entry.prepared = made === 'unavailable' ? null : made;
      if (made === 'unavailable') entry.retryAtMs = now() + retryAfterMs;
      return entry.prepared;
    });
    // One promise for all who come while it is made, and one timer.
    entry.prepared = giveUpAfter(making, patienceMs);
    byName.set(name, entry);
    cache.set(text, byName);
    return entry;
  }

  return {
    get size() {
      return cache.size;
    },
    prepare(document, text, operationName) {
      const byName = cache.get(text);
      const known = byName?.get(operationName ?? '');
      if (known !== undefined && now() < known.retryAtMs) {
        known.uses += 1;
        return known.prepared;
      }
      const operation = getOperationAST(document, operationName);
      if (operation == null || operation.operation === 'subscription') return null;
      const entry = begin(document, text, operationName ?? '', byName ?? new Map());
      entry.uses = 1;
      return entry.prepared;
    },
    mostUsed(count) {
      const used = [...cache.entries()].flatMap(([text, byName]) =>
        [...byName].map(([operationName, { uses }]) => ({ text, operationName, uses })),
      );
      return used.toSorted((a, b) => b.uses - a.uses).slice(0, count);
    },
  };
}

/** Creates engines: each graph has one, which lives as long as the graph does. */
export function createPlannedEngines(options: Omit<PlannedEngineOptions, 'graph'>): (graph: Graph) => PlannedEngine {
  const engines = new WeakMap<Graph, PlannedEngine>();
  return (graph) => {
    const known = engines.get(graph);
    if (known !== undefined) return known;
    const engine = createPlannedEngine({ ...options, graph });
    engines.set(graph, engine);
    return engine;
  };
}

async function makeOperation(
  options: PlannedEngineOptions,
  fieldNames: ReadonlySet<string>,
  document: DocumentNode,
  operationName: string,
): Promise<Prepared | 'unavailable'> {
  const { graph, log = silentLog } = options;
  try {
    const isolated = isolateOperation(document, operationName);
    const own = isolated === null ? null : guardAliases(isolated, fieldNames);
    const parts = own === null ? null : splitOperation(own, graph);
    if (own === null || parts === null) return null;
    const nodes: PlanNode[] = [...parts.plain];
    if (parts.federated !== null) {
      // Against the schema that the planner works with: on a document that is not valid there it aborts its process.
      if (graph.federatedSchema === null || validate(graph.federatedSchema, parts.federated).length > 0) return null;
      const plannable = buildPlannableDocument(parts.federated, graph.federatedSchema);
      const outcome = await options.planner.plan({ graph, document: print(plannable) });
      if (outcome.kind !== 'planned') return readRefusal(outcome);
      if (outcome.plan.node !== undefined) nodes.unshift(outcome.plan.node);
    }
    return (options.compilePlan ?? compilePlan)({
      plan: buildPlan(nodes),
      document: own,
      schema: graph.schema,
      possibleTypes: graph.possibleTypes,
      execute: options.execute,
      subgraphErrors: options.subgraphErrors ?? 'pass',
    });
  } catch (error) {
    // What cannot be compiled can still be stitched, only slower.
    if (!(error instanceof UnsupportedPlanError))
      log.warn('an operation could not be planned: it is stitched', { error, graph: graph.id });
    return null;
  }
}

function readRefusal(outcome: PlanOutcome): null | 'unavailable' {
  return outcome.kind === 'unavailable' ? 'unavailable' : null;
}

/** The operation with the fragments it uses. The planner takes the first of several, whatever name it is given. */
function isolateOperation(document: DocumentNode, operationName: string): DocumentNode | null {
  const operation = getOperationAST(document, operationName === '' ? null : operationName);
  return operation == null ? null : (separateOperations(document)[operation.name?.value ?? ''] ?? null);
}

function buildPlan(nodes: readonly PlanNode[]): QueryPlan {
  const [first] = nodes;
  if (first === undefined) return { kind: 'QueryPlan' };
  return { kind: 'QueryPlan', node: nodes.length === 1 ? first : { kind: 'Parallel', nodes: [...nodes] } };
}

function giveUpAfter(making: Promise<Prepared>, ms: number): Promise<Prepared> {
  const { promise, resolve } = Promise.withResolvers<Prepared>();
  const timer = setTimeout(() => resolve(null), ms);
  void making.then((prepared) => {
    clearTimeout(timer);
    resolve(prepared);
  });
  return promise;
}
