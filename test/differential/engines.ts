/** The two engines, and the whole graph in one process, each giving its answer to the same operation. */
import { QueryPlanner } from '@graphql-hive/router-query-planner';
import { execute as executeStitched } from '@graphql-tools/executor';
import {
  buildASTSchema,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLError,
  parse,
  print,
  visit,
} from 'graphql';
import { useErrorContract } from '../../gateway/graphql-errors.ts';
import type { RequestContext } from '../../policies/request-context.ts';
import { compilePlan } from '../../schema/plan-compiler.ts';
import { buildPossibleTypes } from '../../schema/plan-types.ts';
import type { PlannedOperation } from '../../schema/planned-operation.ts';
import type { QueryPlan } from '../../schema/query-plan.ts';
import { withoutNode, withoutUnused } from './document-repair.ts';
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
  plan(operation: Operation): QueryPlan;
}

/** The planner, or the compiler of its plans, leaves the operation to the stitched engine. */
export class PlanRefusal extends Error {
  override readonly name = 'PlanRefusal';
}

export function createEngines(federated: FederatedGraph): Engines {
  const { graph, publicSchema, execute, runWhole, runLenient } = federated;
  let planner: QueryPlanner | undefined;
  let possibleTypes: ReturnType<typeof buildPossibleTypes> | undefined;
  function plan({ document, operationName }: Operation): QueryPlan {
    planner ??= new QueryPlanner(graph.supergraphSdl);
    const rest = withoutIntrospection(document);
    return rest === null ? { kind: 'QueryPlan' } : planner.plan(print(rest), operationName, new Set(), 0);
  }
  function compile(operation: Operation): PlannedOperation {
    possibleTypes ??= buildPossibleTypes(buildASTSchema(parse(graph.supergraphSdl), { assumeValid: true }));
    try {
      const { document, operationName } = operation;
      const planned = { plan: plan(operation), document, operationName };
      return compilePlan({ ...planned, schema: publicSchema, execute, subgraphErrors: 'pass', possibleTypes });
    } catch (error) {
      // Of these the compiler's own are meant; whatever else it throws is its fault.
      if (error instanceof TypeError || error instanceof RangeError) throw error;
      throw new PlanRefusal(error instanceof Error ? error.message : String(error), { cause: error });
    }
  }
  const toEngine = (run: FederatedGraph['runWhole']) =>
    run &&
    (async (operation: Operation): Promise<Answer> => {
      const trace = createTrace(undefined);
      return buildAnswer(await run({ ...operation, trace }), createTracedContext(trace), trace);
    });
  return {
    plan,
    whole: toEngine(runWhole),
    lenient: toEngine(runLenient),
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
      const { data, errors } = await compile(operation).execute(operation.variables, context);
      return buildAnswer({ data: JSON.parse(data), errors }, context, trace);
    },
  };
}

function createTrace(down: string | undefined): RequestTrace {
  return { changes: [], down };
}

/** The planner knows no introspection. Null when there is nothing else. */
function withoutIntrospection(document: DocumentNode): DocumentNode | null {
  let rest = document;
  for (const name of ['__schema', '__type']) {
    for (let found = findField(rest, name); found !== undefined; found = findField(rest, name))
      rest = withoutNode(rest, found);
  }
  return rest === document ? document : withoutUnused(rest);
}

function findField(document: DocumentNode, name: string) {
  let found: object | undefined;
  visit(document, {
    Field(node) {
      if (node.name.value === name) found ??= node;
    },
  });
  return found as DocumentNode['definitions'][number] | undefined;
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
  const plugin = useErrorContract(() => {});
  const argument = {
    result,
    setResult: (next: ExecutionResult) => (shaped = next),
    serverContext: { gateway: context },
  };
  // The rest of what Yoga hands over is not read.
  plugin.onResultProcess?.(argument as unknown as Parameters<NonNullable<typeof plugin.onResultProcess>>[0]);
  return shaped.errors ?? [];
}
