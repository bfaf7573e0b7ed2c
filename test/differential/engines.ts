/** The two engines, and the whole graph in one process, each giving its answer to the same operation. */
import { QueryPlanner } from '@graphql-hive/router-query-planner';
import { execute as executeStitched } from '@graphql-tools/executor';
import { type ExecutionResult, type GraphQLError, print } from 'graphql';
import { useErrorContract } from '../../gateway/graphql-errors.ts';
import type { RequestContext } from '../../policies/request-context.ts';
import { compilePlan } from '../../schema/plan-compiler.ts';
import { UnsupportedPlanError } from '../../schema/plan-errors.ts';
import { createPlannedEngine, type Prepared } from '../../schema/planned-engine.ts';
import type { Planner } from '../../schema/planner.ts';
import type { QueryPlan } from '../../schema/query-plan.ts';
import { createTracedContext, type FederatedGraph, type RequestTrace } from './federated-graph.ts';
import type { Operation } from './operation.ts';

/** An answer, as far as engines must agree on it. */
export interface Answer {
  readonly data: unknown;
  /** The data as text: the order of fields is part of the answer. */
  readonly text: string;
  readonly errors: readonly AnswerError[];
  /** Mutations in the order in which they happened. */
  readonly changes: readonly string[];
}

export interface AnswerError {
  readonly path: readonly (string | number)[];
  readonly code: string;
  readonly message: string;
}

export interface Engines {
  stitched(operation: Operation, down?: string): Promise<Answer>;
  planned(operation: Operation, down?: string): Promise<Answer>;
  /** Undefined where the graph has no data of its own to answer from. */
  readonly whole: ((operation: Operation) => Promise<Answer>) | undefined;
  /** Like `whole`, over a schema where nothing is non-null: all errors, also those that others make invisible. */
  readonly lenient: ((operation: Operation) => Promise<Answer>) | undefined;
  /** The plan as the planner gives it, for reports. */
  plan(operation: Operation): Promise<QueryPlan | null>;
}

/** The operation has no plan, or its plan cannot be compiled: the stitched engine answers it. */
export class PlanRefusal extends Error {
  override readonly name = 'PlanRefusal';
}

export function createEngines(federated: FederatedGraph): Engines {
  const { graph, runWhole, runLenient } = federated;
  const prepare = createPreparation(federated);
  const toEngine = (run: FederatedGraph['runWhole']) =>
    run &&
    (async (operation: Operation): Promise<Answer> => {
      const trace = createTrace(undefined);
      return buildAnswer(await run({ ...operation, trace }), createTracedContext(trace), trace);
    });
  return {
    whole: toEngine(runWhole),
    lenient: toEngine(runLenient),
    async plan(operation) {
      return (await prepare(operation)).plan;
    },
    async stitched({ document, variables, operationName }, down) {
      const trace = createTrace(down);
      const gateway = createTracedContext(trace);
      const result = (await executeStitched({
        schema: graph.schema,
        document,
        contextValue: { gateway },
        variableValues: variables,
        ...(operationName !== undefined && { operationName }),
      })) as ExecutionResult;
      return buildAnswer(result, gateway, trace);
    },
    async planned(operation, down) {
      const trace = createTrace(down);
      const context = createTracedContext(trace);
      const { prepared, fault } = await prepare(operation);
      if (prepared === null) throw fault;
      const { data, errors } = await prepared.execute(operation.variables, context);
      return buildAnswer({ data: JSON.parse(data), errors }, context, trace);
    },
  };
}

interface Preparation {
  readonly prepared: Prepared;
  readonly plan: QueryPlan | null;
  /** Why nothing was prepared. */
  readonly fault: Error;
}

/** The engine as the gateway has it, but for the planner: it is in this process, and what it says is kept. */
function createPreparation({ graph, execute }: FederatedGraph): (operation: Operation) => Promise<Preparation> {
  let native: QueryPlanner | undefined;
  let plan: QueryPlan | null = null;
  let fault: Error = new PlanRefusal('not for the planner');
  const planner: Planner = {
    pid: undefined,
    start() {},
    [Symbol.dispose]() {},
    async plan({ document }) {
      try {
        native ??= new QueryPlanner(graph.supergraphSdl);
        return { kind: 'planned', plan: native.plan(document, null, new Set(), 0) };
      } catch (error) {
        fault = new PlanRefusal(String(error));
        return { kind: 'refused', reason: String(error) };
      }
    },
  };
  const engine = createPlannedEngine({
    graph,
    planner,
    execute,
    patienceMs: 60_000,
    compilePlan(options) {
      plan = options.plan;
      try {
        return compilePlan(options);
      } catch (error) {
        // What the compiler says that it cannot do is no mistake of its.
        fault = error instanceof UnsupportedPlanError ? new PlanRefusal(error.message) : (error as Error);
        throw error;
      }
    },
  });
  const known = new Map<string, Preparation>();
  return async ({ document, operationName }) => {
    const text = print(document);
    const key = `${operationName} ${text}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    plan = null;
    fault = new PlanRefusal('not for the planner');
    const prepared = await engine.prepare(document, text, operationName);
    known.set(key, { prepared, plan, fault });
    return { prepared, plan, fault };
  };
}

function createTrace(down: string | undefined): RequestTrace {
  return { changes: [], down };
}

/** Errors pass the error contract first: what counts is what clients get. */
function buildAnswer(result: ExecutionResult, context: RequestContext, trace: RequestTrace): Answer {
  const shaped = shapeErrors({ data: result.data ?? null, errors: result.errors ?? [] }, context);
  const data: unknown = JSON.parse(JSON.stringify(result.data ?? null));
  return {
    data,
    text: JSON.stringify(data),
    errors: shaped.map(({ path, extensions, message }) => ({
      path: path ?? [],
      code: String(extensions['code']),
      message,
    })),
    changes: trace.changes,
  };
}

function shapeErrors(result: ExecutionResult, context: RequestContext): readonly GraphQLError[] {
  let shaped = result;
  const plugin = useErrorContract({ onUnexpected: () => {} });
  const argument = {
    result,
    setResult: (next: ExecutionResult) => (shaped = next),
    serverContext: { gateway: context },
  };
  // The rest of what Yoga hands over is not read.
  plugin.onResultProcess?.(argument as unknown as Parameters<NonNullable<typeof plugin.onResultProcess>>[0]);
  return shaped.errors ?? [];
}
