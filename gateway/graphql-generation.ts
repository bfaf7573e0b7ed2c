/**
 * One generation of the GraphQL door: a graph with a Yoga of its own. Nothing is shared between generations, because
 * Envelop and its validation plugins keep one schema per instance: a request that is waiting while the graph is swapped
 * would be checked against the wrong one.
 */
import { type ExecutionArgs, type GraphQLSchema, NoSchemaIntrospectionCustomRule } from 'graphql';
import { createYoga, type Plugin, type YogaServerInstance } from 'graphql-yoga';
import { buildRequirement, mergeRequirements, type Requirement } from '../policies/authorize.ts';
import {
  buildFieldRequirements,
  type FieldAuthorizationOptions,
  useFieldAuthorization,
} from '../policies/authorize-fields.ts';
import { useDocumentBounds } from '../policies/document-bounds.ts';
import type { CostModel, FieldCost } from '../policies/operation-cost.ts';
import type { RateLimiter } from '../policies/rate-limit.ts';
import { type UseOperationLimitsOptions, useOperationLimits } from '../policies/rate-limit-documents.ts';
import { useRateLimit } from '../policies/rate-limit-operations.ts';
import { type CompiledRule, compileRules } from '../policies/rate-limit-rule.ts';
import type { GraphqlContext } from '../policies/request-context.ts';
import type { FieldUsage } from '../schema/field-usage.ts';
import type { Graph } from '../schema/graph.ts';
import type { GatewayConfig } from './config-schema.ts';
import { createPartsLookUp, type FieldExecutionOptions, useFieldExecution } from './field-execution.ts';
import { type UnexpectedErrorListener, useErrorContract } from './graphql-errors.ts';
import { createKeptResponses, type KeptResponses } from './kept-responses.ts';
import { type PlannedExecutionOptions, usePlannedExecution } from './planned-execution.ts';
import { useGuardedAliases } from './stitched-aliases.ts';

type FieldPolicies = NonNullable<GatewayConfig['fields']>;
/** Yoga's and Envelop's plugins differ in how they name the same context; what runs is the same. */
type GraphqlPlugin = Plugin<object, GraphqlContext>;
export type Yoga = YogaServerInstance<GraphqlContext, object>;

export interface GraphqlGenerationOptions {
  readonly limiter: RateLimiter;
  readonly rules: readonly CompiledRule[];
  /** What is assumed of lists where costs are counted. */
  readonly cost: Omit<CostModel, 'fields'>;
  readonly authenticationRequired: boolean;
  readonly fields: FieldPolicies;
  readonly introspection: boolean;
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
  readonly onUnexpected: UnexpectedErrorListener;
}

export interface GraphqlGeneration {
  readonly graph: Graph;
  readonly yoga: Yoga;
}

/** Builds the Yoga of a graph. Costs well under a millisecond; its caches begin empty. */
export function createGraphqlGeneration(graph: Graph, options: GraphqlGenerationOptions): GraphqlGeneration {
  const yoga = createYoga<GraphqlContext>({
    schema: graph.schema,
    graphqlEndpoint: options.path,
    plugins: buildPipeline(graph, options),
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
  return { graph, yoga };
}

/** What an operation passes, in this order. Who is calling was established before: the door authenticates. */
export function buildPipeline(graph: Graph, options: GraphqlGenerationOptions): GraphqlPlugin[] {
  const { fieldExecution, planned } = options;
  const findParts = fieldExecution === undefined ? () => null : createPartsLookUp({ ...fieldExecution, graph });
  const authorization = buildAuthorization(graph, options);
  const responses = options.responses && createKeptResponses(graph, options.fields, authorization, options.responses);
  return [
    // How much they may ask: before anything is parsed.
    useRateLimit({ limiter: options.limiter, rules: options.rules.filter((rule) => !rule.needsOperation) }),
    // What they asked.
    useDocumentBounds() as unknown as GraphqlPlugin,
    useIntrospectionSwitch(options.introspection),
    useOperationName(),
    // How much of that they may ask: where it depends on the operation, its fields or its cost.
    useOperationLimits(buildOperationLimits(graph, options)),
    // Whether they may have it.
    useFieldAuthorization(authorization) as unknown as GraphqlPlugin,
    // What of the graph is in use: of operations that may be executed, whoever executes them.
    options.usage === undefined ? {} : useFieldUsage(graph.schema, options.usage),
    // Whether the answer is known.
    responses?.lookUp ?? {},
    // Who answers it: a plan, or else the stitched schema.
    useGuardedAliases(graph.schema),
    planned === undefined ? {} : usePlannedExecution(planned, (document, name) => findParts(document, name) !== null),
    // Fields that stand for themselves: they and the rest, each by one of the two.
    fieldExecution === undefined ? {} : useFieldExecution({ ...fieldExecution, graph, planned }, findParts),
    // Whether its answer is kept: around whoever was chosen.
    responses?.keeping ?? {},
    // What may leave.
    useErrorContract(options.onUnexpected),
  ];
}

/** Rules that must know the operation: those of the gateway that do, and all rules of fields. */
function buildOperationLimits(graph: Graph, options: GraphqlGenerationOptions): UseOperationLimitsOptions {
  const fieldRules = new Map<string, readonly CompiledRule[]>();
  const fieldCosts = new Map<string, FieldCost>();
  for (const [coordinate, { rateLimit, cost, listSize, slicingArguments }] of Object.entries(options.fields)) {
    if (rateLimit !== undefined && rateLimit.length > 0) fieldRules.set(coordinate, compileRules(rateLimit));
    fieldCosts.set(coordinate, { weight: cost, listSize, slicingArguments });
  }
  return {
    limiter: options.limiter,
    schema: graph.schema,
    rules: options.rules.filter((rule) => rule.needsOperation),
    fieldRules,
    costModel: { ...options.cost, fields: fieldCosts },
  };
}

/** Requirements of subgraph directives and of the configuration; where both speak, both hold. */
function buildAuthorization(graph: Graph, options: GraphqlGenerationOptions): FieldAuthorizationOptions {
  const written = new Map<string, Requirement>(graph.requirements);
  const publicFields = new Set<string>();
  for (const [coordinate, policy] of Object.entries(options.fields)) {
    if (policy.authorize !== undefined) {
      const requirement = buildRequirement(policy.authorize);
      const directive = written.get(coordinate);
      written.set(coordinate, directive === undefined ? requirement : mergeRequirements(directive, requirement));
    }
    if (policy.public === true) publicFields.add(coordinate);
  }
  const requirements = buildFieldRequirements(graph.schema, written);
  return { requirements, required: options.authenticationRequired, publicFields };
}

function useIntrospectionSwitch(allowed: boolean): GraphqlPlugin {
  if (allowed) return {};
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
