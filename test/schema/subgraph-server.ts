/** Real GraphQL services over HTTP for the tests of this folder, and the executor that calls them. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { execute } from '@graphql-tools/executor';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { type ExecutionResult, type GraphQLSchema, graphql, parse } from 'graphql';
import { request } from 'undici';
import { GatewayError } from '../../policies/errors.ts';
import type { RequestContext } from '../../policies/request-context.ts';
import { type CompositionOptions, composeGraph, type GraphService } from '../../schema/composition.ts';
import { parseGivenSchema } from '../../schema/discovery.ts';
import type { Graph, SubgraphExecutor } from '../../schema/graph.ts';
import type { MergeConfiguration } from '../../schema/merge-configuration.ts';

// biome-ignore lint/suspicious/noExplicitAny: Resolvers of a test see whatever their schema says.
type Resolvers = Record<string, Record<string, (parent: any, args: any) => unknown>>;

export interface Subgraph extends AsyncDisposable {
  readonly url: string;
  /** The GraphQL requests so far, as they came. */
  readonly requests: { readonly query: string; readonly variables: Record<string, unknown> | undefined }[];
}

export interface SubgraphSource {
  readonly name: string;
  readonly sdl: string;
  readonly resolvers?: Resolvers;
  readonly merge?: MergeConfiguration;
}

export const federationLink =
  'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@external", "@requires", "@provides", "@shareable", "@inaccessible", "@tag", "@override"])\n';

export function buildService(source: SubgraphSource): GraphService {
  return { name: source.name, schema: parseGivenSchema(source.sdl), merge: source.merge };
}

export function buildSubgraphSource(source: SubgraphSource): GraphQLSchema {
  return parseGivenSchema(source.sdl).kind === 'federation'
    ? buildSubgraphSchema([{ typeDefs: parse(source.sdl), resolvers: source.resolvers ?? {} }])
    : makeExecutableSchema({ typeDefs: source.sdl, resolvers: source.resolvers ?? {}, assumeValidSDL: true });
}

export async function startSubgraph(schema: GraphQLSchema): Promise<Subgraph> {
  const requests: Subgraph['requests'] = [];
  return serve(requests, async (body, response) => {
    const { query, variables } = JSON.parse(body);
    requests.push({ query, variables });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(await graphql({ schema, source: query, variableValues: variables })));
  });
}

export async function serve(
  requests: Subgraph['requests'],
  answer: (body: string, response: ServerResponse, request: IncomingMessage) => unknown,
): Promise<Subgraph> {
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    await answer(Buffer.concat(chunks).toString(), response, incoming);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

export interface TestGraph extends AsyncDisposable {
  readonly graph: Graph;
  readonly subgraphs: ReadonlyMap<string, Subgraph>;
  run(query: string, variables?: Record<string, unknown>): Promise<ExecutionResult>;
}

/** Composes the sources and serves each; `failing` services cannot be reached. */
export async function startGraph(
  sources: readonly SubgraphSource[],
  options: CompositionOptions & { readonly failing?: readonly string[] } = {},
): Promise<TestGraph> {
  const subgraphs = new Map<string, Subgraph>();
  for (const source of sources) subgraphs.set(source.name, await startSubgraph(buildSubgraphSource(source)));
  const call: SubgraphExecutor = async ({ service, query, variables }) => {
    if (options.failing?.includes(service)) throw new GatewayError('SERVICE_UNAVAILABLE', undefined, { service });
    const url = subgraphs.get(service)?.url;
    if (url === undefined) throw new Error(`nobody serves ${service}`);
    const answer = await request(url, { method: 'POST', body: JSON.stringify({ query, variables }) });
    return (await answer.body.json()) as ExecutionResult;
  };
  const graph = composeGraph(sources.map(buildService), call, options);
  return {
    graph,
    subgraphs,
    run: (query, variables) => runQuery(graph, query, variables),
    async [Symbol.asyncDispose]() {
      for (const subgraph of subgraphs.values()) await subgraph[Symbol.asyncDispose]();
    },
  };
}

/** Executes as Yoga does: by the executor of graphql-tools, with a context of its own for each request. */
export async function runQuery(
  graph: Graph,
  query: string,
  variables: Record<string, unknown> = {},
): Promise<ExecutionResult> {
  const contextValue = { gateway: { id: 'test', attempts: [] } as unknown as RequestContext };
  return (await execute({
    schema: graph.schema,
    document: parse(query),
    contextValue,
    variableValues: variables,
  })) as ExecutionResult;
}
