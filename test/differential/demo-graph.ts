/** The graph of the demo, in memory: three federated services, and a plain one that is stitched to them. */
import { buildSchema, GraphQLObjectType, type GraphQLSchema, printSchema } from 'graphql';
import { composeGraph } from '../../schema/composition.ts';
import { parseGivenSchema } from '../../schema/discovery.ts';
import { accountsSdl, buildAccountsSchema } from '../../subgraphs/demo/accounts.ts';
import { buildInventoryRoot, inventory, inventorySdl } from '../../subgraphs/demo/inventory.ts';
import { buildProductsSchema, productsSdl } from '../../subgraphs/demo/products.ts';
import { buildReviewsSchema, reviewsSdl } from '../../subgraphs/demo/reviews.ts';
import { createMemoryExecutor, type FederatedGraph, type RequestTrace } from './federated-graph.ts';

/** Names, codes and texts that the demo's services know. */
export const demoTexts = ['1', '2', '3', '7', '9', 'ada', 'alan', 'grace', 'r1', 'r5', 'r12', 'nobody'];

const sdls = { accounts: accountsSdl, inventory: inventorySdl, products: productsSdl, reviews: reviewsSdl };

/** There is nobody who knows the whole truth here: the engines are held against each other. */
export function createDemoGraph(): FederatedGraph {
  const fixed: Record<string, GraphQLSchema> = {
    accounts: buildAccountsSchema('1'),
    inventory: withRoot(buildSchema(inventorySdl), buildInventoryRoot('1')),
    products: buildProductsSchema('1'),
  };
  // Reviews are kept by who takes them: each request has services of its own, so that none sees what others wrote.
  const reviews = new WeakMap<RequestTrace, GraphQLSchema>();
  const execute = createMemoryExecutor((service, trace) => {
    const schema = fixed[service] ?? reviews.get(trace) ?? buildReviewsSchema('1');
    if (service === 'reviews') reviews.set(trace, schema);
    return schema;
  });
  const services = Object.entries(sdls).map(([name, sdl]) => ({
    name,
    schema: parseGivenSchema(sdl, name === 'inventory' ? 'plain' : 'federation'),
    ...(name === 'inventory' && { merge: inventory.definition.graphql?.merge }),
  }));
  const graph = composeGraph(services, execute);
  return { sdls, graph, publicSchema: buildSchema(printSchema(graph.schema)), execute };
}

/** Root resolvers as graphql-js calls those of a root value. */
function withRoot(schema: GraphQLSchema, root: ReturnType<typeof buildInventoryRoot>): GraphQLSchema {
  const query = schema.getQueryType();
  if (!(query instanceof GraphQLObjectType)) throw new Error('the service has no queries');
  for (const [name, answer] of Object.entries(root)) {
    const field = query.getFields()[name];
    if (field !== undefined) field.resolve = (_source, args) => (answer as (args: unknown) => unknown)(args);
  }
  return schema;
}
