/** Limits of the GraphQL door on single operations: before validation by their shape, after it by their cost. */
import { type DocumentNode, type ExecutionArgs, getOperationAST, type Source } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { createShapeMeasure } from './document-shape.ts';
import { type ErrorCode, GatewayError, toGraphQLError } from './errors.ts';
import type { MeasureOperation } from './operation-cost.ts';
import {
  type Excess,
  findCostExcess,
  findExcess,
  findTextExcess,
  type QueryLimiter,
  type QueryLimits,
  toLimitError,
} from './query-limits.ts';
import type { GraphqlContext, RequestContext } from './request-context.ts';

export interface QueryLimitObserver {
  onDepth(className: string, depth: number): void;
  onCost(className: string, cost: number): void;
  /** An operation is over a limit, and is refused where the mode says so. */
  onExcess(excess: Excess, className: string, refused: boolean, context: RequestContext): void;
}

export interface UseQueryLimitsOptions {
  readonly limiter: QueryLimiter;
  readonly measure: MeasureOperation;
  /** Operations in one request; 0 for one that is no array. */
  readonly maxBatchSize: number;
  /** Whether trusted documents are held to no limit but that of cost. */
  readonly trustsPersisted: boolean;
  readonly observer: QueryLimitObserver;
}

/**
 * A Yoga plugin that refuses what is too large. What is remembered of a document are its numbers, and they are compared
 * with every request: a validation rule would be remembered with its verdict, for viewers of every class.
 *
 * It throws rather than sets a result: results of parsing and validation are what Yoga's caches keep.
 */
export function useQueryLimits(options: UseQueryLimitsOptions): Plugin<object, GraphqlContext> {
  const { limiter, measure, maxBatchSize, trustsPersisted, observer } = options;
  const measureShape = createShapeMeasure();
  const measuresCost = limiter.limitsCost || limiter.mode === 'measure';

  function judge(excess: Excess | null, { className }: QueryLimits, gateway: RequestContext): void {
    if (excess === null) return;
    const refuses = limiter.mode === 'enforce';
    observer.onExcess(excess, className, refuses, gateway);
    if (refuses) throw toGraphQLError(toLimitError(excess), gateway.id);
  }

  function guardCost({ args, setResultAndStopExecution }: ExecuteEvent): void {
    const { gateway } = args.contextValue as GraphqlContext;
    const operation = getOperationAST(args.document, args.operationName);
    if (operation === null || operation === undefined) return;
    const limits = limiter.limitsFor(gateway);
    const { cost, unbounded } = measure(args.document, operation, args.variableValues ?? {});
    gateway.operationCost = (gateway.operationCost ?? 0) + cost;
    observer.onCost(limits.className, cost);
    try {
      judge(findCostExcess(cost, limits), limits, gateway);
      // Without a limit of cost, how long a list may be is the service's own affair.
      if (unbounded !== null && Number.isFinite(limits.cost) && limiter.mode === 'enforce')
        throw toGraphQLError(new GatewayError('OPERATION_TOO_COMPLEX', unbounded), gateway.id);
    } catch (error) {
      setResultAndStopExecution({ errors: [error] });
    }
  }

  return {
    onRequestParse: ({ serverContext }) => ({
      onRequestParseDone({ requestParserResult }) {
        if (!Array.isArray(requestParserResult)) return;
        const found = requestParserResult.length;
        // As Yoga has it: where batches are off, an array of one is none either.
        if (maxBatchSize > 0 && found <= maxBatchSize) return;
        const { gateway } = serverContext as GraphqlContext;
        const excess: Excess = { code: 'BATCH_TOO_LARGE' satisfies ErrorCode, limit: maxBatchSize, found };
        observer.onExcess(excess, limiter.limitsFor(gateway).className, true, gateway);
        throw toGraphQLError(toLimitError(excess), gateway.id);
      },
    }),
    onParse({ params, context }) {
      const { gateway, isTrusted } = context as unknown as GraphqlContext;
      if (isTrusted === true && trustsPersisted) return;
      const limits = limiter.limitsFor(gateway);
      judge(findTextExcess(textOf(params.source), limits), limits, gateway);
    },
    onValidate({ params, context }) {
      const { gateway, isTrusted } = context as unknown as GraphqlContext;
      const { params: asked } = context as { params?: { operationName?: string | null } };
      const limits = limiter.limitsFor(gateway);
      const shape = measureShape(params.documentAST as DocumentNode, asked?.operationName);
      observer.onDepth(limits.className, shape.depth);
      if (isTrusted === true && trustsPersisted) return;
      judge(findExcess(shape, limits), limits, gateway);
    },
    ...(measuresCost && { onExecute: guardCost as never, onSubscribe: guardCost as never }),
  };
}

interface ExecuteEvent {
  readonly args: ExecutionArgs;
  readonly setResultAndStopExecution: (result: { errors: unknown[] }) => void;
}

function textOf(source: string | Source): string {
  return typeof source === 'string' ? source : source.body;
}
