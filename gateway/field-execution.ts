/**
 * Root fields with a timeout, a breaker or a fallback: each is executed for itself, beside the rest of the query, and
 * what they give is put together. It stands around whoever executes, so that both engines do the same.
 */
import {
  buildSchema,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute as executeLocally,
  type GraphQLSchema,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { DegradedListener, Substitute } from '../policies/degradation.ts';
import { DerivedContext } from '../policies/derived-context.ts';
import { toGatewayError } from '../policies/errors.ts';
import type { LastGoodAnswers } from '../policies/last-good-answers.ts';
import type { OutageGuard } from '../policies/outage-guard.ts';
import type { GraphqlContext, RequestContext } from '../policies/request-context.ts';
import type { Graph } from '../schema/graph.ts';
import { describeAsker } from '../schema/request-sharing.ts';
import { type RootFieldPart, type RootFieldParts, splitRootFields } from '../schema/root-field-parts.ts';
import { findOutage, judge } from './field-outage.ts';
import { type Answer, describeDegraded, mergeAnswers, type PartAnswer } from './part-answers.ts';
import { createPlannedRun, type PlannedExecutionOptions } from './planned-execution.ts';

export interface FieldExecutionOptions {
  readonly graph: Graph;
  /** By `Type.field`. */
  readonly guards: ReadonlyMap<string, OutageGuard>;
  readonly lastGood: LastGoodAnswers;
  /** The client's headers that services get, in lower case: who sends others is another asker. */
  readonly forwardedHeaders: () => readonly string[];
  readonly planned: PlannedExecutionOptions | undefined;
  readonly onDegraded: DegradedListener;
}

/** Which queries are executed in parts. */
export type FindParts = (document: DocumentNode, operationName: string | null | undefined) => RootFieldParts | null;

/** Looks at each document once: they come from the parser's cache. */
export function createPartsLookUp({ graph, guards }: Pick<FieldExecutionOptions, 'graph' | 'guards'>): FindParts {
  const root = graph.schema.getQueryType()?.name ?? 'Query';
  const known = new WeakMap<DocumentNode, Map<string, RootFieldParts | null>>();
  if (guards.size === 0) return () => null;
  return (document, operationName) => {
    const byName = known.get(document) ?? new Map<string, RootFieldParts | null>();
    known.set(document, byName);
    const name = operationName ?? '';
    let parts = byName.get(name);
    if (parts === undefined) {
      parts = splitRootFields(document, operationName, (field) => guards.has(`${root}.${field}`));
      byName.set(name, parts);
    }
    return parts;
  };
}

type Execute = (args: ExecutionArgs) => Promise<Answer>;

/** Yoga plugin: stands after those that execute, and calls them for each part. */
export function useFieldExecution(
  options: FieldExecutionOptions,
  findParts: FindParts,
): Plugin<object, GraphqlContext> {
  const execution = new FieldExecution(options);
  return {
    onExecute({ args, executeFn, setExecuteFn }) {
      const parts = findParts(args.document, args.operationName);
      if (parts === null) return;
      const stitched = executeFn as Execute;
      setExecuteFn((own: ExecutionArgs) => execution.run(parts, own, stitched));
    },
  };
}

/** A part that is for a field with a guard. */
interface GuardedPart {
  readonly part: RootFieldPart;
  readonly keys: RootFieldParts['keys'];
  /** With the document of the part. */
  readonly args: ExecutionArgs;
  readonly guard: OutageGuard;
  /** Under which its last good answer is kept; empty where none is. */
  readonly question: string;
}

class FieldExecution {
  readonly #options: FieldExecutionOptions;
  readonly #root: string;
  readonly #runPlanned: ReturnType<typeof createPlannedRun> | null;
  #plainSchema: GraphQLSchema | null = null;

  constructor(options: FieldExecutionOptions) {
    this.#options = options;
    this.#root = options.graph.schema.getQueryType()?.name ?? 'Query';
    this.#runPlanned = options.planned === undefined ? null : createPlannedRun(options.planned);
  }

  async run({ parts, keys }: RootFieldParts, args: ExecutionArgs, stitched: Execute): Promise<Answer> {
    const execute: Execute = (own) => this.#execute(own, stitched);
    const answers = await Promise.all(parts.map((part) => this.#runPart(part, keys, args, execute)));
    return mergeAnswers(answers, keys);
  }

  /** As the pipeline would do it with the whole: by plan where there is one. */
  async #execute(args: ExecutionArgs, stitched: Execute): Promise<Answer> {
    const text = args.document.loc?.source.body;
    const { planned } = this.#options;
    if (planned === undefined || this.#runPlanned === null || text === undefined) return stitched(args);
    const prepared = await planned.engine.prepare(args.document, text, args.operationName ?? null);
    return prepared === null ? stitched(args) : this.#runPlanned(prepared, args);
  }

  async #runPart(
    part: RootFieldPart,
    keys: RootFieldParts['keys'],
    args: ExecutionArgs,
    execute: Execute,
  ): Promise<PartAnswer> {
    const own = { ...args, document: part.document };
    const guard = part.field === null ? undefined : this.#options.guards.get(`${this.#root}.${part.field}`);
    if (guard === undefined) return { answer: await execute(own), degraded: [] };
    const { gateway } = args.contextValue as GraphqlContext;
    const question = guard.staleIfErrorMs > 0 ? this.#describeQuestion(own, gateway) : '';
    const guarded: GuardedPart = { part, keys, args: own, guard, question };
    let end: ReturnType<OutageGuard['begin']>;
    try {
      end = guard.begin();
    } catch (refusal) {
      const answer = await this.#answerLocally(guarded, () => {
        throw toGatewayError(refusal);
      });
      return this.#degrade(answer, guarded);
    }
    const substitutes = gateway.degraded?.length;
    let answer: Answer;
    try {
      answer = await execute({ ...own, contextValue: withDeadline(args.contextValue, gateway, guard.timeoutMs) });
    } catch (thrown) {
      end('unknown');
      throw thrown;
    }
    end(judge(answer, guard, gateway));
    const isWhole = (answer.errors ?? []).length === 0 && gateway.degraded?.length === substitutes;
    if (question !== '' && isWhole && answer.data != null) {
      this.#options.lastGood.remember(question, JSON.stringify(answer.data));
    }
    return this.#degrade(answer, guarded);
  }

  /** The answer, or what stands in for it where the field is null because of an outage. */
  async #degrade(answer: Answer, guarded: GuardedPart): Promise<PartAnswer> {
    const { part, keys, guard, question } = guarded;
    const outage = findOutage(answer, guard);
    if (outage === undefined) return { answer, degraded: [] };
    const note = (substitute: Substitute): void => this.#options.onDegraded(guard.name, outage, substitute);
    const stale = question === '' ? undefined : this.#options.lastGood.find(question, guard.staleIfErrorMs);
    if (stale !== undefined) {
      note('stale');
      return { answer: { data: JSON.parse(stale) }, degraded: describeDegraded(part, keys, outage, 'stale') };
    }
    if (guard.hasFallback) {
      note('fallback');
      const substitute = await this.#answerLocally(guarded, () => guard.fallback);
      return { answer: substitute, degraded: describeDegraded(part, keys, outage, 'fallback') };
    }
    note('none');
    return { answer, degraded: [] };
  }

  /** By the rules of GraphQL, as if the gateway had a resolver for the field: nulls travel up where they must not be. */
  async #answerLocally({ args, part }: GuardedPart, resolve: () => unknown): Promise<ExecutionResult> {
    this.#plainSchema ??= buildSchema(this.#options.graph.publicSdl, { assumeValidSDL: true, noLocation: true });
    const { document, variableValues, operationName } = args;
    return executeLocally({
      schema: this.#plainSchema,
      document,
      variableValues: variableValues ?? {},
      operationName: operationName ?? null,
      rootValue: { [part.field ?? '']: resolve },
    });
  }

  #describeQuestion({ document, operationName, variableValues }: ExecutionArgs, context: RequestContext): string {
    const asker = describeAsker(context, this.#options.forwardedHeaders());
    const question = [asker, operationName ?? '', variableValues ?? {}, document.loc?.source.body];
    // Questions are forgotten with the graph that they were put to: its answers may have another shape.
    return JSON.stringify([this.#options.graph.id, ...question]);
  }
}

function withDeadline(contextValue: unknown, gateway: RequestContext, timeoutMs: number): unknown {
  if (timeoutMs === Number.POSITIVE_INFINITY) return contextValue;
  const derived = new DerivedContext(gateway, { deadlineAtMs: performance.now() + timeoutMs });
  return { ...(contextValue as object), gateway: derived };
}
