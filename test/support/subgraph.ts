/** GraphQL and REST services for tests: real servers that can die and come back on the same port. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { type GraphQLSchema, graphql, parse } from 'graphql';

// biome-ignore lint/suspicious/noExplicitAny: resolvers take what graphql gives them
export type Resolvers = Record<string, any>;

/** A server that can be killed like a process, connections and all, and started again. */
export interface TestService {
  readonly url: string;
  readonly port: number;
  /** Requests that arrived, the oldest first. */
  readonly requests: { method: string; url: string; headers: NodeJS.Dict<string | string[]>; body: string }[];
  kill(): Promise<void>;
  restart(): Promise<void>;
}

/** Any server, on a free port of loopback. It dies when the test ends. */
export async function startServer(
  t: TestContext,
  listener: RequestListener,
  port = 0,
): Promise<Omit<TestService, 'requests'>> {
  let server = await listen(listener, port);
  const taken = (server.address() as AddressInfo).port;
  const kill = (): Promise<void> =>
    new Promise((resolve) => {
      if (!server.listening) return resolve();
      server.close(() => resolve());
      server.closeAllConnections();
    });
  t.after(kill);
  return {
    url: `http://127.0.0.1:${taken}`,
    port: taken,
    kill,
    async restart() {
      await kill();
      server = await listen(listener, taken);
    },
  };
}

function listen(listener: RequestListener, port: number): Promise<Server> {
  const server = createServer(listener);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

/** A federated subgraph. */
export function startSubgraph(t: TestContext, sdl: string, resolvers: Resolvers = {}, port = 0): Promise<TestService> {
  return startGraphql(t, buildSubgraphSchema([{ typeDefs: parse(federated(sdl)), resolvers }]), port);
}

/** A GraphQL service that knows nothing of federation. */
export function startPlainGraphql(
  t: TestContext,
  sdl: string,
  resolvers: Resolvers = {},
  port = 0,
): Promise<TestService> {
  return startGraphql(t, makeExecutableSchema({ typeDefs: sdl, resolvers }), port);
}

/** The SDL with the federation link in front, unless it brings its own. */
export function federated(sdl: string): string {
  if (sdl.includes('@link(')) return sdl;
  const imports =
    '["@key", "@external", "@requires", "@provides", "@shareable", "@authenticated", "@requiresScopes", "@policy", "@inaccessible"]';
  return `extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ${imports})\n${sdl}`;
}

async function startGraphql(t: TestContext, schema: GraphQLSchema, port: number): Promise<TestService> {
  const requests: TestService['requests'] = [];
  const listener: RequestListener = async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
    if (request.method !== 'POST') return response.writeHead(200).end('ok');
    const { query, variables, operationName } = JSON.parse(body);
    const contextValue = { headers: request.headers };
    const result = await graphql({ schema, source: query, variableValues: variables, operationName, contextValue });
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result));
  };
  return { ...(await startServer(t, listener, port)), requests };
}
