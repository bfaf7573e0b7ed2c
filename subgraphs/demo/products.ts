/** Demo service: the catalogue. A federated subgraph. */
import { buildSubgraphSchema } from '@apollo/subgraph';
import { type GraphQLSchema, parse } from 'graphql';
import { type DemoService, runDemoService } from './demo-service.ts';
import { createGraphqlListener } from './graphql-listener.ts';

export const productsSdl = /* GraphQL */ `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable"])

  type Query {
    "The best sellers, the best one first."
    topProducts(first: Int = 5): [Product!]
    product(upc: String!): Product
    products(category: Category): [Product!]
    "The instance that answered: ask again to see the load balancer at work."
    productsInstance: String
  }

  enum Category {
    FURNITURE
    KITCHEN
    TOOLS
  }

  type Product @key(fields: "upc") {
    upc: String!
    name: String!
    description: String!
    category: Category!
    price: Money!
    "In grams."
    weight: Int!
  }

  type Money @shareable {
    "In the smallest unit of the currency."
    amount: Int!
    currency: String!
  }
`;

type Category = 'FURNITURE' | 'KITCHEN' | 'TOOLS';

interface Product {
  readonly upc: string;
  readonly name: string;
  readonly description: string;
  readonly category: Category;
  readonly price: { readonly amount: number; readonly currency: string };
  readonly weight: number;
}

/** By sales. */
const catalogue: readonly Product[] = [
  buildProduct('1', 'Table', 'Oak, seats six', 'FURNITURE', 89_900, 41_000),
  buildProduct('2', 'Couch', 'Sleeps a guest', 'FURNITURE', 129_900, 68_000),
  buildProduct('3', 'Chair', 'Stackable', 'FURNITURE', 5_400, 4_800),
  buildProduct('4', 'Kettle', 'Whistles', 'KITCHEN', 3_900, 1_100),
  buildProduct('5', 'Moka pot', 'For three cups', 'KITCHEN', 2_950, 620),
  buildProduct('6', 'Chef knife', 'Carbon steel', 'KITCHEN', 7_800, 240),
  buildProduct('7', 'Hammer', 'Ash handle', 'TOOLS', 2_400, 780),
  buildProduct('8', 'Hand plane', 'For the last shaving', 'TOOLS', 11_500, 1_450),
  buildProduct('9', 'Spirit level', 'Sixty centimetres', 'TOOLS', 1_990, 510),
];

function buildProduct(
  upc: string,
  name: string,
  description: string,
  category: Category,
  amount: number,
  weight: number,
): Product {
  return { upc, name, description, category, price: { amount, currency: 'EUR' }, weight };
}

/** The executable schema of one instance. */
export function buildProductsSchema(instance: string): GraphQLSchema {
  const findProduct = ({ upc }: { readonly upc: string }): Product | null => {
    const product = catalogue.find((candidate) => candidate.upc === upc);
    return product === undefined ? null : { ...product };
  };
  return buildSubgraphSchema([
    {
      typeDefs: parse(productsSdl),
      resolvers: {
        Query: {
          topProducts: (_: unknown, { first }: { first: number }) => catalogue.slice(0, Math.max(0, first)),
          product: (_: unknown, args: { upc: string }) => findProduct(args),
          products: (_: unknown, { category }: { category?: Category | null }) =>
            category == null ? catalogue : catalogue.filter((product) => product.category === category),
          productsInstance: () => instance,
        },
        Product: { __resolveReference: findProduct },
      },
    },
  ]);
}

/** The service. */
export const products: DemoService = {
  name: 'products',
  definition: { graphql: { path: '/graphql' }, health: { path: '/health', interval: '2s' } },
  createListener: (instance) => createGraphqlListener(buildProductsSchema(instance)),
};

if (import.meta.main) await runDemoService(products);
