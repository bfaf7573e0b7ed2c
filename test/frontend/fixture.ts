/** A shop with a graph and REST services, for the routes that the gateway answers itself. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import type { GatewayConfig } from '../../gateway/config-schema.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startServer, startSubgraph } from '../support/subgraph.ts';

export const sdl = `
  enum Status { OPEN PAID }
  input NewOrder { product: ID!, count: Int = 1, note: String }
  type Item { name: String!, price: Float! }
  type Order @key(fields: "id") { id: ID!, total: Int!, status: Status!, note: String, items(first: Int): [Item!]! }
  type Query { order(id: ID!): Order  orders(first: Int!, status: Status, ids: [ID!]): [Order!]!  broken: String! }
  type Mutation { placeOrder(input: NewOrder!): Order!  cancel(id: ID!): Order }
`;

const order = (id: string) => ({ id, total: 12, status: 'OPEN', note: null, items: [{ name: 'Tea', price: 1.5 }] });

function refuse(code: string): never {
  throw Object.assign(new Error(`refused: ${code}`), { extensions: { code } });
}

export const resolvers = {
  Query: {
    order: (_: unknown, { id }: { id: string }) =>
      id === 'none' ? null : /^[A-Z_]+$/.test(id) ? refuse(id) : order(id),
    orders: (_: unknown, { first, ids }: { first: number; ids?: string[] }) =>
      (ids ?? ['1', '2', '3']).slice(0, first).map(order),
  },
  Mutation: { placeOrder: (_: unknown, { input }: { input: { product: string } }) => order(input.product) },
  Order: { note: ({ id }: { id: string }) => (id === 'partial' ? refuse('NOTE_LOST') : 'fine') },
};

/** A gateway before the graph of the shop. */
export async function startShop(t: TestContext, config: GatewayConfig): Promise<TestGateway> {
  const subgraph = await startSubgraph(t, sdl, resolvers);
  return startGateway(t, {
    ...config,
    services: { ...config.services, orders: { graphql: {}, instances: [{ url: subgraph.url }] } },
  });
}

/** A REST service that answers with what the function gives. */
export async function startJson(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<{ readonly url: string; readonly asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = [];
  const server = await startServer(t, async (request, response) => {
    asked.push(request);
    response.setHeader('content-type', 'application/json');
    const body = await answer(request, response);
    if (!response.writableEnded && body !== undefined) response.end(JSON.stringify(body));
  });
  return { url: server.url, asked };
}
