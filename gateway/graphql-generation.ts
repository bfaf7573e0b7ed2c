/**
 * One generation of the GraphQL door: a graph with a Yoga of its own. Nothing is shared between generations, because
 * Envelop and its validation plugins keep one schema per instance: a request that is waiting while the graph is swapped
 * would be checked against the wrong one.
 */
import {
  type ExecutionArgs,
  type GraphQLSchema,
  NoSchemaIntrospectionCustomRule,
  specifiedRules,
  type ValidationRule,
} from 'graphql';
import { createYoga, type Plugin, type YogaServerInstance } from 'graphql-yoga';
import { useFieldAuthorization } from '../policies/authorize-fields.ts';
import { useAuthorizedIntrospection } from '../policies/authorized-introspection.ts';
import { buildCostModel, type FieldCost } from '../policies/cost-model.ts';
import { useDocumentBounds } from '../policies/document-bounds.ts';
import { createOperationMeasure, type MeasureOperation } from '../policies/operation-cost.ts';
import { usePersistedOperations } from '../policies/persisted-operation-documents.ts';
import type { PersistedOperations } from '../policies/persisted-operations.ts';
import { type UseQueryLimitsOptions, useQueryLimits } from '../policies/query-limit-documents.ts';
import { hardMaxTokens, type QueryLimiter } from '../policies/query-limits.ts';
import type { RateLimiter } from '../policies/rate-limit.ts';
import { type UseOperationLimitsOptions, useOperationLimits } from '../policies/rate-limit-documents.ts';
import { useRateLimit } from '../policies/rate-limit-operations.ts';
import { type CompiledRule, compileRules } from '../policies/rate-limit-rule.ts';
import type { GraphqlContext } from '../policies/request-context.ts';
import type { Rights } from '../policies/rights.ts';
import type { FieldAuthorizationOptions } from '../policies/schema-authorization.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Graph } from '../schema/graph.ts';
import type { PlannedEngine } from '../schema/planned-engine.ts';
import type { GatewayConfig } from './config-schema.ts';
import { useDegradedAnswers } from './degraded-answers.ts';
import { createPartsLookUp, type FieldExecutionOptions, useFieldExecution } from './field-execution.ts';
import { buildAuthorization } from './graphql-authorization.ts';
import { type ErrorContract, useErrorContract } from './graphql-errors.ts';
import { useListedPlugins } from './graphql-plugins.ts';
import { createKeptResponses, type KeptResponses } from './kept-responses.ts';
import { type PlannedExecutionOptions, usePlannedExecution } from './planned-execution.ts';
import { usePluginOperations } from './plugin-operations.ts';
import type { PluginSet } from './plugin-set.ts';
import { useGuardedAliases } from './stitched-aliases.ts';

type FieldPolicies = NonNullable<GatewayConfig['fields']>;
/** Yoga's and Envelop's plugins differ in how they name the same context; what runs is the same. */
type GraphqlPlugin = Plugin<object, GraphqlContext>;
export type Yoga = YogaServerInstance<GraphqlContext, object>;

export interface GraphqlGenerationOptions {
  readonly limiter: RateLimiter;
  readonly rules: readonly CompiledRule[];
  /** What is assumed of lists where costs are counted. */
  readonly cost: { readonly listSize: number; readonly slicingArguments: readonly string[] };
  /** How much one operation may ask. */
  readonly queryLimits: Omit<UseQueryLimitsOptions, 'measure' | 'maxBatchSize'>;
  /** Operations by an id in place of their text. */
  readonly persisted: PersistedOperations;
  readonly authenticationRequired: boolean;
  /** What roles give, and what policies stand for. */
  readonly rights: Rights;
  /** What holds for fields, by `Type.field`. */
  readonly fields: FieldPolicies;
  /** What types ask of who gets them from any field, by name. @default nothing */
  readonly types?: Readonly<Record<string, Pick<FieldPolicies[string], 'authorize'>>>;
  readonly introspection: boolean | 'authorized';
  readonly maxBatchSize: number;
  readonly path: string;
  /** Who uses what, for the admission of schemas. */
  readonly usage?: FieldUsage | undefined;
  /** The engine for operations that can be planned; undefined to stitch them all. */
  readonly planned?: PlannedExecutionOptions | undefined;
  /** Fields that may be late or missing without taking the rest along; undefined when there are none. */
  readonly fieldExecution?: Omit<FieldExecutionOptions, 'graph' | 'planned'> | undefined;
  /** Keeps answers; undefined for none. */
  readonly responses?: KeptResponses | undefined;
  /** Code of the operator's own; undefined without any. */
  readonly plugins?: PluginSet | undefined;
  readonly contract: ErrorContract;
}

export interface GraphqlGeneration {
  readonly graph: Graph;
  readonly yoga: Yoga;
  /** Whether plugins of Yoga must find each request as they expect it: as a Request, with all its headers. */
  readonly needsRequests: boolean;
  /** What the pipeline decides by, for whoever wants to know beforehand. */
  readonly insight: GraphqlInsight;
}

export interface GraphqlInsight {
  readonly authorization: FieldAuthorizationOptions;
  readonly measure: MeasureOperation;
  readonly queryLimiter: QueryLimiter;
  readonly validationRules: readonly ValidationRule[];
  readonly engine: PlannedEngine | undefined;
}

/** Builds the Yoga of a graph. Costs well under a millisecond; its caches begin empty. */
export function createGraphqlGeneration(graph: Graph, options: GraphqlGenerationOptions): GraphqlGeneration {
  const authorization = buildAuthorization(graph, options);
  const measure = buildMeasure(graph, options);
  const yoga = createYoga<GraphqlContext>({
    schema: graph.schema,
    graphqlEndpoint: options.path,
    plugins: buildPipeline(graph, options, authorization, measure),
    batching: options.maxBatchSize > 0 ? { limit: options.maxBatchSize } : false,
    // All of these the gateway does itself, for both doors alike; `maxRequestBodySize` would cost more than all the rest.
    maskedErrors: false,
    maxRequestBodySize: false,
    graphiql: false,
    landingPage: false,
    logging: false,
    cors: false,
    multipart: false,
  });
  const insight = {
    authorization,
    measure,
    queryLimiter: options.queryLimits.limiter,
    validationRules:
      options.introspection !== false ? specifiedRules : [...specifiedRules, NoSchemaIntrospectionCustomRule],
    engine: options.planned?.engine,
  };
  return { graph, yoga, needsRequests: hasListed(options), insight };
}

function hasListed({ plugins }: GraphqlGenerationOptions): boolean {
  return plugins !== undefined && plugins.graphql.length > 0;
}

/** What an operation passes, in this order. Who is calling was established before: the door authenticates. */
export function buildPipeline(
  graph: Graph,
  options: GraphqlGenerationOptions,
  authorization = buildAuthorization(graph, options),
  measure = buildMeasure(graph, options),
): GraphqlPlugin[] {
  const { fieldExecution, planned, queryLimits } = options;
  const maxTokens = queryLimits.trustsPersisted ? hardMaxTokens : queryLimits.limiter.maxTokens;
  const findParts = fieldExecution === undefined ? () => null : createPartsLookUp({ ...fieldExecution, graph });
  const responses =
    options.responses &&
    createKeptResponses(graph, options.fields, authorization, options.responses, hasListed(options));
  const isAskedLate = findLateRules(options.fields);
  const listed = useListedPlugins(options.plugins?.graphql ?? []);
  return [
    // How much they may ask: before anything is parsed.
    useRateLimit({ limiter: options.limiter, rules: options.rules.filter((rule) => !isAskedLate(rule)) }),
    // What they asked, and whether one operation may be so large.
    usePersistedOperations(options.persisted),
    useQueryLimits({ ...queryLimits, measure, maxBatchSize: options.maxBatchSize }),
    useDocumentBounds(maxTokens) as unknown as GraphqlPlugin,
    useIntrospectionSwitch(options.introspection),
    useOperationName(),
    // How much of that they may ask: where it depends on the operation, its fields or its cost.
    useOperationLimits(buildOperationLimits(graph, options, measure, options.rules.filter(isAskedLate))),
    // Whether they may have it.
    options.introspection === 'authorized'
      ? (useAuthorizedIntrospection(graph.schema, authorization) as unknown as GraphqlPlugin)
      : {},
    useFieldAuthorization(authorization) as unknown as GraphqlPlugin,
    // What the operator's own code says of it.
    options.plugins?.hooks.onOperation === undefined ? {} : usePluginOperations(),
    ...listed.first,
    // What of the graph is in use: of operations that may be executed, whoever executes them.
    options.usage === undefined ? {} : useFieldUsage(graph.schema, options.usage),
    // What is not whole, and says so: nobody keeps it.
    options.fieldExecution === undefined ? {} : useDegradedAnswers(),
    // Whether the answer is known.
    responses?.lookUp ?? {},
    // Who answers it: a plan, or else the stitched schema.
    useGuardedAliases(graph.schema),
    planned === undefined ? {} : usePlannedExecution(planned, (document, name) => findParts(document, name) !== null),
    // Fields that stand for themselves: they and the rest, each by one of the two.
    fieldExecution === undefined ? {} : useFieldExecution({ ...fieldExecution, graph, planned }, findParts),
    // What plugins of Envelop do around execution, and with its result.
    ...(hasListed(options) ? [listed.last] : []),
    // Whether its answer is kept: around whoever was chosen, and what plugins do around that.
    responses?.keeping ?? {},
    // What may leave.
    useErrorContract(options.contract),
  ];
}

/** Whether a rule of the gateway must know the operation: by its key, or because a field may have another of its name. */
function findLateRules(fields: FieldPolicies): (rule: CompiledRule) => boolean {
  const replaced = new Set(Object.values(fields).flatMap(({ rateLimit = [] }) => rateLimit.map(({ name }) => name)));
  return (rule) => rule.needsOperation || replaced.has(rule.name);
}

/** Rules that must know the operation: those of the gateway that do, and all rules of fields. */
function buildOperationLimits(
  graph: Graph,
  options: GraphqlGenerationOptions,
  measure: MeasureOperation,
  rules: readonly CompiledRule[],
): UseOperationLimitsOptions {
  const fieldRules = new Map<string, readonly CompiledRule[]>();
  for (const [coordinate, { rateLimit }] of Object.entries(options.fields)) {
    if (rateLimit !== undefined && rateLimit.length > 0) fieldRules.set(coordinate, compileRules(rateLimit));
  }
  return {
    limiter: options.limiter,
    schema: graph.schema,
    rules,
    fieldRules,
    measure,
  };
}

/** What operations cost: by directives of the services, and by the configuration where it says something. */
function buildMeasure(graph: Graph, options: GraphqlGenerationOptions): MeasureOperation {
  const configured = new Map<string, FieldCost>();
  for (const [coordinate, { cost, listSize, slicingArguments }] of Object.entries(options.fields))
    configured.set(coordinate, { weight: cost, listSize, slicingArguments });
  const { schema, costs: directives } = graph;
  return createOperationMeasure(schema, buildCostModel({ schema, directives, configured, ...options.cost }));
}

function useIntrospectionSwitch(allowed: boolean | 'authorized'): GraphqlPlugin {
  if (allowed !== false) return {};
  return { onValidate: ({ addValidationRule }) => addValidationRule(NoSchemaIntrospectionCustomRule) };
}

function useFieldUsage(schema: GraphQLSchema, usage: FieldUsage): GraphqlPlugin {
  const record = ({ args }: { readonly args: ExecutionArgs }): void => {
    const { gateway } = args.contextValue as GraphqlContext;
    usage.record(schema, args.document, args.operationName, args.variableValues ?? {}, gateway.headers);
  };
  return { onExecute: record, onSubscribe: record };
}

/** Notes what is executed, for logs and metrics. */
function useOperationName(): GraphqlPlugin {
  return {
    onExecute({ args }) {
      const { document, operationName, contextValue } = args;
      const { gateway } = contextValue as unknown as GraphqlContext;
      for (const definition of document.definitions) {
        if (definition.kind !== 'OperationDefinition') continue;
        if (typeof operationName === 'string' && definition.name?.value !== operationName) continue;
        gateway.name = `${definition.operation} ${definition.name?.value ?? 'anonymous'}`;
        return;
      }
    },
  };
}
