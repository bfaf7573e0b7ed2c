/** The shop of the benchmark: accounts, inventory, products and reviews. */
import { federationLink, type SubgraphSource } from './subgraph-server.ts';

const users = ['1', '2', '3'].map((id) => ({ id, name: `User ${id}`, username: `user${id}` }));
const products = [
  { upc: '1', name: 'Table', price: 899, weight: 100 },
  { upc: '2', name: 'Couch', price: 1299, weight: 1000 },
  { upc: '3', name: 'Glass', price: 15, weight: 20 },
];
const reviews = ['1', '1', '2', '3'].map((upc, index) => ({
  id: `r${index}`,
  body: `"Love" it\n${index}`,
  product: { upc },
  author: { id: String((index % 2) + 1), username: `user${(index % 2) + 1}` },
}));

export const shop: readonly SubgraphSource[] = [
  {
    name: 'accounts',
    sdl: `${federationLink}
      type Query { me: User user(id: ID!): User users: [User] }
      type User @key(fields: "id") { id: ID! name: String username: String @shareable }`,
    resolvers: {
      Query: { me: () => users[0], user: (_, { id }) => users.find((user) => user.id === id), users: () => users },
      User: { __resolveReference: ({ id }) => users.find((user) => user.id === id) },
    },
  },
  {
    name: 'inventory',
    sdl: `${federationLink}
      type Product @key(fields: "upc") {
        upc: String! weight: Int @external price: Int @external
        inStock: Boolean shippingEstimate: Int @requires(fields: "price weight")
      }`,
    resolvers: {
      Product: {
        __resolveReference: (reference) => reference,
        inStock: ({ upc }) => upc !== '2',
        shippingEstimate: ({ price, weight }) => (price > 1000 ? 0 : Math.round(weight / 2)),
      },
    },
  },
  {
    name: 'products',
    sdl: `${federationLink}
      type Query { topProducts(first: Int = 5): [Product] product(upc: String!): Product! }
      type Mutation { rename(upc: String!, name: String!): Product }
      type Product @key(fields: "upc") { upc: String! name: String price: Int weight: Int label(size: Int = 1): String }`,
    resolvers: {
      Query: {
        topProducts: (_, { first }) => products.slice(0, first),
        product: (_, { upc }) => products.find((product) => product.upc === upc),
      },
      Mutation: {
        rename: (_, { upc, name }) => {
          const product = products.find((one) => one.upc === upc);
          return product && { ...product, name };
        },
      },
      Product: {
        __resolveReference: ({ upc }) => products.find((product) => product.upc === upc),
        label: ({ name }, { size }) => String(name).repeat(size),
      },
    },
  },
  {
    name: 'reviews',
    sdl: `${federationLink}
      type Query { latest: Review! }
      type Mutation { review(upc: String!): Review }
      type Review @key(fields: "id") { id: ID! body: String product: Product author: User @provides(fields: "username") }
      type User @key(fields: "id") { id: ID! username: String @external reviews: [Review!] }
      type Product @key(fields: "upc") { upc: String! reviews: [Review!]! }`,
    resolvers: {
      Query: { latest: () => reviews[0] },
      Mutation: { review: (_, { upc }) => ({ ...reviews[0], product: { upc } }) },
      User: {
        __resolveReference: (reference) => reference,
        reviews: ({ id }) => reviews.filter(({ author }) => author.id === id),
      },
      Product: {
        __resolveReference: (reference) => reference,
        reviews: ({ upc }) => reviews.filter(({ product }) => product.upc === upc),
      },
    },
  },
];
