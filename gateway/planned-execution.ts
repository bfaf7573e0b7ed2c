/** Planned execution in the pipeline: the operations that the engine takes, in place of the executor. */
import { type DocumentNode, type ExecutionArgs, GraphQLError, getOperationAST } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { AnswerLifetime } from '../policies/answer-lifetime.ts';
import { DerivedContext } from '../policies/derived-context.ts';
import type { GraphqlContext, RequestContext } from '../policies/request-context.ts';
import type { ServiceHeaders } from '../policies/service-headers.ts';
import { InvalidVariablesError } from '../schema/plan-errors.ts';
import type { PlannedEngine } from '../schema/planned-engine.ts';
import type { PlannedOperation, PlannedResult } from '../schema/planned-operation.ts';
import { createRequestSharing, describeAsker } from '../schema/request-sharing.ts';

export interface PlannedExecutionOptions {
  readonly engine: PlannedEngine;
  /**
   * When set, equal queries that are under way at the same time are executed once. It names, in lower case, the client's
   * headers that services get: who sends others is another asker.
   */
  readonly shareOperations?: (() => readonly string[]) | undefined;
}

/** `data` that is JSON already. Whoever looks at it sees an object; whoever serializes it gets what it says. */
export class SerializedData {
  readonly json: string;

  constructor(json: string) {
    this.json = json;
  }

  toJSON(): unknown {
    return JSON.parse(this.json);
  }
}

/** An answer with `stringify`, which Yoga's result processors call instead of JSON.stringify. */
export interface PlannedAnswer {
  readonly data?: SerializedData | null;
  readonly errors?: readonly GraphQLError[];
  readonly stringify: typeof stringifyPlanned;
}

/**
 * Yoga plugin: runs what has a plan. Stands after everything that may still refuse the operation. `isLeft`: what is
 * executed otherwise, and needs no plan as a whole.
 */
export function usePlannedExecution(
  options: PlannedExecutionOptions,
  isLeft: (document: DocumentNode, operationName: string | null | undefined) => boolean = () => false,
): Plugin<object, GraphqlContext> {
  const { engine } = options;
  const run = createPlannedRun(options);
  return {
    onExecute({ args, setExecuteFn }) {
      const { document, operationName } = args;
      const text = document.loc?.source.body;
      if (text === undefined || isLeft(document, operationName)) return undefined;
      const use = (operation: PlannedOperation | null): void => {
        if (operation !== null) setExecuteFn((own: ExecutionArgs) => run(operation, own));
      };
      const prepared = engine.prepare(document, text, operationName);
      return prepared instanceof Promise ? prepared.then(use) : use(prepared);
    },
  };
}

/** What several requests get that were executed as one. */
interface Shared extends Pick<RequestContext, 'degraded'> {
  readonly result: PlannedResult;
  readonly serviceHeaders: ServiceHeaders | undefined;
  readonly lifetime: AnswerLifetime;
}

type Run = (operation: PlannedOperation, args: ExecutionArgs) => Promise<PlannedAnswer>;

/** What runs planned operations. */
export function createPlannedRun({ shareOperations }: PlannedExecutionOptions): Run {
  const sharing = createRequestSharing<Shared>();
  async function execute(operation: PlannedOperation, args: ExecutionArgs): Promise<PlannedResult> {
    const variables = args.variableValues ?? {};
    const { gateway } = args.contextValue as GraphqlContext;
    // What plugins add to calls is known when they are made: too late to say who asks the same.
    if (shareOperations === undefined || gateway.changeCall !== undefined || !isQuery(args)) {
      return await operation.execute(variables, gateway);
    }
    let isOwn = false;
    // What services say of their answers is for all who share them.
    const start = async (flight: RequestContext): Promise<Shared> => {
      isOwn = true;
      const lifetime = new AnswerLifetime();
      const serviceHeaders = gateway.serviceHeaders?.fork();
      const own = new DerivedContext(flight, { lifetime, serviceHeaders });
      return { result: await operation.execute(variables, own), serviceHeaders, lifetime, degraded: own.degraded };
    };
    const identity = `${args.operationName ?? ''} ${describeAsker(gateway, shareOperations())}`;
    const content = `${JSON.stringify(variables)}\n${args.document.loc?.source.body}`;
    const { result, serviceHeaders, lifetime, degraded } = await sharing.share(identity, content, gateway, start);
    gateway.lifetime?.add(lifetime);
    if (serviceHeaders !== undefined) gateway.serviceHeaders?.take(serviceHeaders, isOwn);
    // The one who began has been told; those who joined have an answer that is not whole either.
    if (degraded !== gateway.degraded) gateway.degraded?.push(...(degraded ?? []));
    return result;
  }
  return async (operation, args) => {
    try {
      return buildAnswer(await execute(operation, args));
    } catch (error) {
      // The mistakes of the client, one by one and in the words of the stitched schema.
      if (error instanceof InvalidVariablesError) {
        return { errors: error.errors.map(withStatus400), stringify: stringifyPlanned };
      }
      throw error;
    }
  };
}

function isQuery({ document, operationName }: ExecutionArgs): boolean {
  return getOperationAST(document, operationName)?.operation === 'query';
}

function buildAnswer({ data, errors }: PlannedResult): PlannedAnswer {
  const serialized = data === 'null' ? null : new SerializedData(data);
  if (errors.length === 0) return { data: serialized, stringify: stringifyPlanned };
  return { data: serialized, errors, stringify: stringifyPlanned };
}

/** An answer that was kept as JSON. */
export function buildKeptAnswer(json: string): PlannedAnswer {
  return { data: new SerializedData(json), stringify: stringifyPlanned };
}

/** As the stitched executor marks what it refuses before it executes anything. */
function withStatus400({ message, nodes, source, positions, extensions }: GraphQLError): GraphQLError {
  return new GraphQLError(message, {
    nodes: nodes ?? null,
    source: source ?? null,
    positions: positions ?? null,
    extensions: { ...extensions, http: { status: 400 } },
  });
}

/** Called with the answer that leaves, whose errors may be others than those it was made with. */
function stringifyPlanned({ data, errors, extensions }: Record<string, unknown>): string {
  let text = '';
  if (data !== undefined) text += `,"data":${data instanceof SerializedData ? data.json : JSON.stringify(data)}`;
  if (errors !== undefined) text += `,"errors":${JSON.stringify(errors)}`;
  if (extensions !== undefined) text += `,"extensions":${JSON.stringify(extensions)}`;
  return `{${text.slice(1)}}`;
}
