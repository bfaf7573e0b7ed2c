/**
 * Demo service: what is in stock. Plain GraphQL without a trace of federation; the registration says how its `Product`
 * joins that of the others.
 */
import { buildSchema } from 'graphql';
import { type DemoService, runDemoService } from './demo-service.ts';
import { createGraphqlListener } from './graphql-listener.ts';

export const inventorySdl = /* GraphQL */ `
  type Query {
    stockByUpc(upcs: [String!]!): [Stock!]
    "The look-up by key: as many as there are keys, in their order."
    productsByUpc(upcs: [String!]!): [Product]!
    "The instance that answered."
    inventoryInstance: String
  }

  type Stock {
    upc: String!
    quantity: Int!
    warehouse: String!
  }

  type Product {
    upc: String!
    inStock: Boolean
    warehouse: String
  }
`;

interface Stock {
  readonly upc: string;
  readonly quantity: number;
  readonly warehouse: string;
}

const stock: readonly Stock[] = [
  { upc: '1', quantity: 12, warehouse: 'Antwerp' },
  { upc: '2', quantity: 0, warehouse: 'Antwerp' },
  { upc: '3', quantity: 240, warehouse: 'Antwerp' },
  { upc: '4', quantity: 31, warehouse: 'Trieste' },
  { upc: '5', quantity: 9, warehouse: 'Trieste' },
  { upc: '6', quantity: 0, warehouse: 'Trieste' },
  { upc: '7', quantity: 55, warehouse: 'Gdansk' },
  { upc: '8', quantity: 3, warehouse: 'Gdansk' },
  { upc: '9', quantity: 17, warehouse: 'Gdansk' },
];

interface Keys {
  readonly upcs: readonly string[];
}

/** Resolvers of the root fields of one instance. */
export function buildInventoryRoot(instance: string) {
  const find = (upc: string): Stock | undefined => stock.find((entry) => entry.upc === upc);
  return {
    stockByUpc: ({ upcs }: Keys) => upcs.map(find).filter((entry) => entry !== undefined),
    productsByUpc: ({ upcs }: Keys) =>
      upcs.map((upc) => {
        const entry = find(upc);
        return entry === undefined ? null : { upc, inStock: entry.quantity > 0, warehouse: entry.warehouse };
      }),
    inventoryInstance: () => instance,
  };
}

/** The service. */
export const inventory: DemoService = {
  name: 'inventory',
  definition: {
    graphql: {
      path: '/graphql',
      merge: { Product: { keyField: 'upc', fieldName: 'productsByUpc', keyArg: 'upcs' } },
    },
    health: { path: '/health', interval: '2s' },
  },
  createListener: (instance) => createGraphqlListener(buildSchema(inventorySdl), buildInventoryRoot(instance)),
};

if (import.meta.main) await runDemoService(inventory);
