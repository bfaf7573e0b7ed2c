/** A list of entities in one service, with fields in another. */
const link = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])\n';

export const itemSubgraphs = [
  {
    name: 'items',
    sdl: `${link} type Query { items(first: Int): [Item!]! } type Item @key(fields: "id") { id: ID! name: String }`,
  },
  {
    name: 'prices',
    sdl: `${link} type Item @key(fields: "id") { id: ID! price: Int currency: String }`,
  },
] as const;
