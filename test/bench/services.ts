/**
 * Services for the benchmarks, all in this one process: `demo ADMIN_URL` runs those of the demo, which register
 * themselves; `entities` and `many COUNT` serve made-up graphs, each service at a path of its own. Says over IPC when it
 * listens, and at which port.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { type GraphQLSchema, graphql, parse } from 'graphql';
import { accounts } from '../../subgraphs/demo/accounts.ts';
import { startDemoService } from '../../subgraphs/demo/demo-service.ts';
import { inventory } from '../../subgraphs/demo/inventory.ts';
import { products } from '../../subgraphs/demo/products.ts';
import { reviews } from '../../subgraphs/demo/reviews.ts';
import { buildManySubgraphs } from '../support/large-graphs.ts';
import { itemSubgraphs } from './item-graph.ts';

/** Answers in constant time per field: what a lookup in a database costs is not the gateway's business. */
const resolverless = {
  fieldResolver: (
    source: Readonly<Record<string, unknown>> | undefined,
    args: Readonly<Record<string, unknown>>,
    _: unknown,
    { fieldName, returnType }: { readonly fieldName: string; readonly returnType: { toString(): string } },
  ): unknown => {
    if (source !== undefined && fieldName in source) return source[fieldName];
    const type = String(returnType);
    if (type.startsWith('[')) {
      const count = typeof args['first'] === 'number' ? args['first'] : 2;
      return Array.from({ length: count }, (_value, index) => ({ id: String(index) }));
    }
    if (type.startsWith('String')) return `${fieldName} of ${String(source?.['id'])}`;
    if (type.startsWith('Int')) return 42;
    if (type.startsWith('Boolean')) return true;
    return { id: String(args['id'] ?? source?.['id'] ?? '1') };
  },
};

async function serveSubgraphs(subgraphs: readonly { readonly name: string; readonly sdl: string }[]): Promise<number> {
  const schemas = new Map<string, GraphQLSchema>();
  const schemaOf = (name: string): GraphQLSchema => {
    const known = schemas.get(name);
    if (known !== undefined) return known;
    const schema = buildSubgraphSchema(parse(subgraphs.find((subgraph) => subgraph.name === name)?.sdl ?? ''));
    schemas.set(name, schema);
    return schema;
  };
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { query, variables, operationName } = JSON.parse(Buffer.concat(chunks).toString());
    const schema = schemaOf(incoming.url?.slice(1) ?? '');
    const result = await graphql({ schema, source: query, variableValues: variables, operationName, ...resolverless });
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function serveDemo(adminUrl: string): Promise<number> {
  for (const service of [accounts, products, reviews, inventory]) {
    await startDemoService(service, { port: 0, host: '127.0.0.1', admin: [adminUrl] });
  }
  return 0;
}

const [kind, argument = ''] = process.argv.slice(2);
if (kind === 'demo') process.send?.(await serveDemo(argument));
else process.send?.(await serveSubgraphs(kind === 'many' ? buildManySubgraphs(Number(argument)) : itemSubgraphs));
process.on('disconnect', () => process.exit());
