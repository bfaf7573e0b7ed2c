/** A federated graph in memory: composed, with subgraphs that answer, and the same graph as one schema. */
import { buildSubgraphSchema } from '@apollo/subgraph';
import {
  buildASTSchema,
  buildSchema,
  type DocumentNode,
  type ExecutionResult,
  execute,
  type GraphQLFieldResolver,
  type GraphQLSchema,
  parse,
  printSchema,
  validate,
  visit,
} from 'graphql';
import { GatewayError } from '../../policies/errors.ts';
import type { RequestContext } from '../../policies/request-context.ts';
import { composeGraph } from '../../schema/composition.ts';
import { parseGivenSchema } from '../../schema/discovery.ts';
import type { Graph, SubgraphExecutor } from '../../schema/graph.ts';
import { createRequestContext } from '../support/request-context.ts';
import { type GraphModel, printSubgraph } from './graph-model.ts';
import { createWorld, printArguments, type Thing, type World } from './world.ts';

/** What one request leaves behind. */
export interface RequestTrace {
  /** Mutations, in the order in which they happened. */
  readonly changes: string[];
  /** Name of the service that cannot be reached. */
  readonly down: string | undefined;
}

/** The context of a request to the gateway, with room for the trace. */
export type TracedContext = RequestContext & { readonly trace: RequestTrace };

export interface FederatedGraph {
  readonly sdls: Readonly<Record<string, string>>;
  readonly graph: Graph;
  /** What clients see, without resolvers. */
  readonly publicSchema: GraphQLSchema;
  readonly execute: SubgraphExecutor;
  /** The same data from one process; undefined where there is none. */
  readonly runWhole?: (operation: WholeRequest) => Promise<ExecutionResult>;
  /** Like `runWhole`, where nothing is non-null: no error hides others. */
  readonly runLenient?: (operation: WholeRequest) => Promise<ExecutionResult>;
}

export interface WholeRequest {
  readonly document: DocumentNode;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly operationName: string | undefined;
  readonly trace: RequestTrace;
}

/** What resolvers of subgraphs find: the trace, and who asks. */
export interface SubgraphContext {
  readonly trace: RequestTrace;
  readonly userId: string;
}

type Resolve = GraphQLFieldResolver<Thing, Pick<SubgraphContext, 'trace'>>;

/** Throws REGISTRATION_REFUSED when the model does not compose. */
export function createFederatedGraph(model: GraphModel): FederatedGraph {
  const world = createWorld(model);
  const sdls = Object.fromEntries(model.subgraphs.map((name) => [name, printSubgraph(model, name)]));
  const schemas = new Map<string, GraphQLSchema>();
  const schemaOf = (service: string): GraphQLSchema => {
    const schema = schemas.get(service) ?? buildSubgraph(model, world, service, sdls[service] ?? '');
    schemas.set(service, schema);
    return schema;
  };
  const call = createMemoryExecutor(schemaOf, (service) => buildResolver(world, service));
  const services = Object.entries(sdls).map(([name, sdl]) => ({ name, schema: parseGivenSchema(sdl, 'federation') }));
  const graph = composeGraph(services, call);
  // In the order of the graph's own schema: introspection lists fields as they come.
  const publicSchema = buildSchema(printSchema(graph.schema));
  return {
    sdls,
    graph,
    publicSchema,
    execute: call,
    runWhole: (request) => runWhole(publicSchema, world, request),
    runLenient: (request) => runWhole(buildASTSchema(withoutNonNull(parse(printSchema(graph.schema)))), world, request),
  };
}

async function runWhole(schema: GraphQLSchema, world: World, request: WholeRequest): Promise<ExecutionResult> {
  return await execute({
    schema,
    document: request.document,
    variableValues: request.variables,
    operationName: request.operationName,
    contextValue: { trace: request.trace },
    fieldResolver: buildResolver(world, undefined) as GraphQLFieldResolver<unknown, unknown>,
    typeResolver: (value) => (value as Thing).__typename,
  });
}

function withoutNonNull(document: DocumentNode): DocumentNode {
  return visit(document, { InputValueDefinition: () => false, NonNullType: { leave: ({ type }) => type } });
}

function buildSubgraph(model: GraphModel, world: World, service: string, sdl: string): GraphQLSchema {
  const entities = model.objects.filter(({ kind, subgraphs }) => kind === 'entity' && subgraphs.includes(service));
  const resolvers = entities.map(({ name }) => [
    name,
    { __resolveReference: (representation: Record<string, unknown>) => world.find(name, representation) },
  ]);
  return buildSubgraphSchema([{ typeDefs: parse(sdl), resolvers: Object.fromEntries(resolvers) }]);
}

function buildResolver(world: World, service: string | undefined): Resolve {
  return (source, args, { trace }, { parentType, fieldName, operation }) => {
    if (operation.operation === 'mutation' && parentType.name === 'Mutation') {
      trace.changes.push(`${fieldName} ${printArguments(args)}`);
    }
    return world.resolve(parentType.name, fieldName, source, args, service);
  };
}

/**
 * Answers as a server would: what is not valid is refused, and the answer is text on its way. A service that is down
 * fails as the call does.
 */
export function createMemoryExecutor(
  schemaOf: (service: string, trace: RequestTrace) => GraphQLSchema,
  resolverOf?: (service: string) => Resolve,
): SubgraphExecutor {
  const documents = new Map<string, DocumentNode | ExecutionResult>();
  function prepare(service: string, query: string, schema: GraphQLSchema): DocumentNode | ExecutionResult {
    const key = `${service} ${query}`;
    const known = documents.get(key);
    if (known !== undefined) return known;
    const document = parse(query);
    const errors = validate(schema, document);
    const prepared = errors.length > 0 ? { errors } : document;
    documents.set(key, prepared);
    return prepared;
  }
  return async ({ service, query, variables, operationName }, context) => {
    const { trace } = context as TracedContext;
    if (trace.down === service) throw new GatewayError('SERVICE_UNAVAILABLE', undefined, { service });
    const schema = schemaOf(service, trace);
    const document = prepare(service, query, schema);
    if (!('kind' in document)) return JSON.parse(JSON.stringify(document));
    const fieldResolver = resolverOf?.(service);
    const result = await execute({
      schema,
      document,
      variableValues: variables === undefined ? {} : JSON.parse(JSON.stringify(variables)),
      operationName,
      contextValue: { trace, userId: 'ada' } satisfies SubgraphContext,
      ...(fieldResolver !== undefined && { fieldResolver: fieldResolver as GraphQLFieldResolver<unknown, unknown> }),
      typeResolver: (value) => (value as Thing).__typename,
    });
    return JSON.parse(JSON.stringify(result));
  };
}

/** A context as the door makes it, with the trace. */
export function createTracedContext(trace: RequestTrace): TracedContext {
  return { ...createRequestContext({ door: 'graphql', method: 'POST' }), trace };
}
