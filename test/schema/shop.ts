/** A small shop: two federated services with an entity between them, and a plain one with a look-up by key. */
import { federationLink, type SubgraphSource } from './subgraph-server.ts';

const rows = [
  { upc: '1', name: 'Table', price: 899, weight: 100 },
  { upc: '2', name: 'Couch', price: 1_299, weight: 1_000 },
  { upc: '3', name: 'Glass', price: 15, weight: 20 },
];

export const products: SubgraphSource = {
  name: 'products',
  sdl: `${federationLink}
    type Query { topProducts(first: Int = 5): [Product!]! product(upc: String!): Product }
    type Product @key(fields: "upc") { upc: String! name: String price: Int weight: Int }`,
  resolvers: {
    Query: {
      topProducts: (_, { first }) => rows.slice(0, first),
      product: (_, { upc }) => rows.find((row) => row.upc === upc),
    },
    Product: { __resolveReference: ({ upc }) => rows.find((row) => row.upc === upc) },
  },
};

export const reviews: SubgraphSource = {
  name: 'reviews',
  sdl: `${federationLink}
    type Query { latestReview: Review }
    type Review { id: ID! body: String product: Product }
    type Product @key(fields: "upc") {
      upc: String! price: Int @external weight: Int @external
      reviews: [Review!]! shippingEstimate: Int @requires(fields: "price weight")
    }`,
  resolvers: {
    Query: { latestReview: () => ({ id: 'r1', body: 'fine', product: { upc: '2' } }) },
    Product: {
      __resolveReference: (reference) => reference,
      reviews: ({ upc }) => [{ id: `r${upc}`, body: `about ${upc}`, product: { upc } }],
      shippingEstimate: ({ price, weight }) => (price > 1_000 ? 0 : weight / 2),
    },
  },
};

const stock = [
  { upc: '3', inStock: true, warehouse: { city: 'Ulm' } },
  { upc: '1', inStock: false, warehouse: { city: 'Kiel' } },
];

/** Answers in the order of its table, and leaves out what it does not have. */
export const inventory: SubgraphSource = {
  name: 'inventory',
  sdl: `type Query { stockByUpc(upcs: [String!]!): [Product]! firstInStock: Product }
    type Product { upc: String! inStock: Boolean warehouse: Warehouse }
    type Warehouse { city: String }`,
  resolvers: {
    Query: {
      stockByUpc: (_, { upcs }) => stock.filter(({ upc }) => upcs.includes(upc)),
      firstInStock: () => stock[0],
    },
  },
  merge: { Product: { keyField: 'upc', fieldName: 'stockByUpc', keyArg: 'upcs' } },
};
