import assert from 'node:assert/strict';
import test from 'node:test';
import { UnsupportedPlanError } from '../../schema/plan-errors.ts';
import { composeFederation, runBoth } from './plan-fixture.ts';
import { federationLink, type SubgraphSource } from './subgraph-server.ts';

const book = { __typename: 'Book', id: 'b1', title: 'Emma', dim: { w: 2 } };
const film = { __typename: 'Film', id: 'f1', title: 'Heat', length: 170 };

const library: readonly SubgraphSource[] = [
  {
    name: 'media',
    sdl: `${federationLink}
      type Query { media: [Media] hits: [Hit] }
      interface Media { id: ID! title: String }
      union Hit = Book | Film
      type Book implements Media @key(fields: "id") { id: ID! title: String dim: Dim }
      type Dim { w: Int h(u: Int): Int }
      type Film implements Media @key(fields: "id") { id: ID! title: String length: Int }`,
    resolvers: {
      Query: { media: () => [book, film], hits: () => [film, book] },
      Dim: { h: (_, { u }) => u },
      Media: { __resolveType: ({ __typename }) => __typename },
      Hit: { __resolveType: ({ __typename }) => __typename },
    },
  },
  {
    name: 'prices',
    sdl: `${federationLink}
      type Dim @external { w: Int h(u: Int): Int }
      type Book @key(fields: "id") {
        id: ID! price: Int title: String @external dim: Dim @external
        estimate: String @requires(fields: "title") volume: Int @requires(fields: "dim { w h(u: 3) }")
      }
      type Film @key(fields: "id") { id: ID! price: Float }`,
    resolvers: {
      Book: {
        __resolveReference: (reference) => (reference.id === 'b1' ? reference : null),
        price: () => 10,
        estimate: ({ title }) => `${title}!`,
        volume: ({ dim }) => dim.w * dim.h,
      },
      Film: { __resolveReference: (reference) => reference, price: () => 1.5 },
    },
  },
];

test('plans in which an alias stands where a field is required are refused', () => {
  const federation = composeFederation(library);
  for (const query of [
    '{ media { id: title ... on Book { price } } }',
    '{ media { title: id ... on Book { estimate } } }',
    '{ media { ... on Book { volume dim { h(u: 4) } } } }',
    '{ media { ... on Book { volume dim { w: h(u: 5) } } } }',
    '{ media { __typename: title ... on Book { price } } }',
  ]) {
    assert.throws(() => federation.compile(query), UnsupportedPlanError, query);
  }
});

test("aliases that stand in nobody's way are planned", async () => {
  const federation = composeFederation(library);
  for (const query of [
    '{ media { t: __typename x: title ... on Book { estimate volume } ... on Film { p: price } } }',
    '{ hits { ... on Film { x: price } ... on Book { y: price x2: id estimate } } }',
    '{ hits { ... on Media { title } } media { ... on Film { length } } }',
  ]) {
    const { errors } = await runBoth(federation, query);
    assert.deepEqual(errors, [], query);
  }
});

test('an alias that two types give different fields is renamed by the plan, and comes out as asked', async () => {
  const federation = composeFederation(library);
  const { data, errors } = await federation.runPlanned(
    '{ media { ... on Book { x: id price } ... on Film { x: title length } } }',
  );
  assert.deepEqual(data, {
    media: [
      { x: 'b1', price: 10 },
      { x: 'Heat', length: 170 },
    ],
  });
  assert.deepEqual(errors, []);
});
