/** `@external`, `@extends`, `extend type`, and schemas of federation 1. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFixture, conformance, link, refuseFixture, type Subgraphs } from './fixture.ts';

const rows = [
  { upc: '1', name: 'Table', price: 899, weight: 100 },
  { upc: '2', name: 'Couch', price: 1_299, weight: 1_000 },
];
const products = {
  Query: { topProducts: () => rows },
  Product: { __resolveReference: ({ upc }: { upc: string }) => rows.find((row) => row.upc === upc) },
};
const inventory = {
  Product: {
    __resolveReference: (product: unknown) => product,
    inStock: ({ upc }: { upc: string }) => upc === '1',
    shipping: ({ price, weight }: { price: number; weight: number }) => (price > 1_000 ? 0 : weight / 2),
  },
};

const users = [{ id: 'u1', name: 'Ada', email: 'ada@example.org' }];

/** The same graph in four ways to write it. */
for (const [title, sdls] of [
  [
    'federation 1 with `extend type`',
    {
      products:
        'extend type Query { topProducts: [Product!] } type Product @key(fields: "upc") { upc: ID! name: String price: Int weight: Int }',
      inventory: `extend type Product @key(fields: "upc") {
        upc: ID! @external price: Int @external weight: Int @external
        inStock: Boolean shipping: Int @requires(fields: "price weight") }`,
    },
  ],
  [
    'federation 1 with @extends',
    {
      products:
        'type Query @extends { topProducts: [Product!] } type Product @key(fields: "upc") { upc: ID! name: String price: Int weight: Int }',
      inventory: `type Product @key(fields: "upc") @extends {
        upc: ID! @external price: Int @external weight: Int @external
        inStock: Boolean shipping: Int @requires(fields: "price weight") }`,
    },
  ],
  [
    'federation 2 with @extends and @external keys',
    {
      products: `${link('2.3', '@key')} type Query { topProducts: [Product!] } type Product @key(fields: "upc") { upc: ID! name: String price: Int weight: Int }`,
      inventory: `${link('2.3', '@key', '@extends', '@external', '@requires')}
        type Product @extends @key(fields: "upc") {
        upc: ID! @external price: Int @external weight: Int @external
        inStock: Boolean shipping: Int @requires(fields: "price weight") }`,
    },
  ],
  [
    'federation 2 with `extend type` and federation 1 together',
    {
      products:
        'type Query { topProducts: [Product!] } type Product @key(fields: "upc") { upc: ID! name: String price: Int weight: Int }',
      inventory: `${link('2.0', '@key', '@external', '@requires')}
        extend type Product @key(fields: "upc") {
        upc: ID! @external price: Int @external weight: Int @external
        inStock: Boolean shipping: Int @requires(fields: "price weight") }`,
    },
  ],
  [
    'federation 2 with @external on a type',
    {
      products: `${link('2.3', '@key')} type Query { topProducts: [Product!] } type Product @key(fields: "upc") { upc: ID! name: String price: Int weight: Int }`,
      inventory: `${link('2.3', '@key', '@external', '@requires')}
        extend type Product @external { price: Int weight: Int }
        type Product @key(fields: "upc") { upc: ID! inStock: Boolean shipping: Int @requires(fields: "price weight") }`,
    },
  ],
] as const) {
  const subgraphs: Subgraphs = {
    products: { sdl: sdls.products, resolvers: products },
    inventory: { sdl: sdls.inventory, resolvers: inventory },
  };
  conformance(title, subgraphs, [
    {
      title: 'joins',
      query: '{ topProducts { name inStock shipping } }',
      data: {
        topProducts: [
          { name: 'Table', inStock: true, shipping: 50 },
          { name: 'Couch', inStock: false, shipping: 0 },
        ],
      },
    },
    {
      title: 'takes external fields from their owner',
      query: '{ topProducts { upc price } }',
      data: {
        topProducts: [
          { upc: '1', price: 899 },
          { upc: '2', price: 1_299 },
        ],
      },
      notAsked: ['inventory'],
    },
  ]);
}

conformance(
  'federation 1 value types, enums and scalars shared without a directive',
  {
    a: {
      sdl: `type Query { a: Shared } type Shared { x: Int kind: Kind at: Date } enum Kind { P Q } scalar Date
        type Account @key(fields: "id") { id: ID! shared: Shared }`,
      resolvers: { Query: { a: () => ({ x: 1, kind: 'P', at: '2026-01-01' }) } },
    },
    b: {
      sdl: `extend type Query { b: Shared } type Shared { x: Int kind: Kind at: Date } enum Kind { P Q } scalar Date
        extend type Account @key(fields: "id") { id: ID! @external }`,
      resolvers: { Query: { b: () => ({ x: 2, kind: 'Q', at: '2026-01-02' }) } },
    },
  },
  [
    {
      title: 'are one type',
      query: '{ a { x kind at } b { x kind at } }',
      data: { a: { x: 1, kind: 'P', at: '2026-01-01' }, b: { x: 2, kind: 'Q', at: '2026-01-02' } },
    },
  ],
);

conformance(
  'federation 1 @provides',
  {
    users: {
      sdl: 'type Query { me: User } type User @key(fields: "id") { id: ID! name: String email: String }',
      resolvers: {
        Query: { me: () => users[0] },
        User: { __resolveReference: ({ id }) => users.find((user) => user.id === id) },
      },
    },
    reviews: {
      sdl: `type Query { review: Review } type Review { author: User @provides(fields: "name") }
        extend type User @key(fields: "id") { id: ID! @external name: String @external }`,
      resolvers: { Query: { review: () => ({ author: { id: 'u1', name: 'Ada (reviews)' } }) } },
    },
  },
  [
    {
      title: 'saves the way',
      query: '{ review { author { name } } }',
      data: { review: { author: { name: 'Ada (reviews)' } } },
      notAsked: ['users'],
    },
    {
      title: 'is not asked for more than it says',
      query: '{ review { author { id email } } me { name } }',
      data: { review: { author: { id: 'u1', email: 'ada@example.org' } }, me: { name: 'Ada' } },
    },
  ],
);

test('an @external field that no service has is refused', () => {
  const [reason] = refuseFixture({
    a: {
      sdl: `${link('2.3', '@key', '@external', '@requires')}
        type Query { t: T } type T @key(fields: "id") { id: ID! x: Int @external y: Int @requires(fields: "x") }`,
    },
    b: { sdl: `${link('2.3', '@key')} type T @key(fields: "id") { id: ID! z: Int }` },
  });
  assert.equal(reason?.code, 'EXTERNAL_MISSING_ON_BASE');
  assert.deepEqual([reason?.type, reason?.field], ['T', 'x']);
});

test('an @external field of another type than its owner gives is refused', () => {
  const [reason] = refuseFixture({
    a: {
      sdl: `${link('2.3', '@key', '@external', '@requires')}
        type Query { t: T } type T @key(fields: "id") { id: ID! x: Int @external y: Int @requires(fields: "x") }`,
    },
    b: { sdl: `${link('2.3', '@key')} type T @key(fields: "id") { id: ID! x: String }` },
  });
  assert.equal(reason?.code, 'EXTERNAL_TYPE_MISMATCH');
  assert.deepEqual([reason?.type, reason?.field], ['T', 'x']);
});

test('an @external field of federation 1 that nothing needs does not stand in the way', () => {
  const { publicSdl } = composeFixture({
    a: { sdl: 'type Query { t: T } type T @key(fields: "id") { id: ID! x: Int }' },
    b: { sdl: 'extend type T @key(fields: "id") { id: ID! @external x: Int @external y: Int }' },
  });
  assert.match(publicSdl, /type T {\n {2}id: ID!\n {2}x: Int\n {2}y: Int\n}/);
});
