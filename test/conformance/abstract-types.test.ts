/** Interfaces and unions whose types lie in several services. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFixture, conformance, link, type Subgraphs } from './fixture.ts';

const pets: Subgraphs = {
  a: {
    sdl: `${link('2.3', '@key', '@shareable')}
      type Query { pets: [Pet!]! animals: [Animal!]! first: Pet }
      union Pet = Dog | Cat
      interface Animal { id: ID! name: String }
      type Dog implements Animal @key(fields: "id") { id: ID! name: String breed: String }
      type Cat implements Animal @key(fields: "id") { id: ID! name: String lives: Int }`,
    resolvers: {
      Query: {
        pets: () => [
          { __typename: 'Dog', id: 'd', name: 'Rex', breed: 'Boxer' },
          { __typename: 'Cat', id: 'c', name: 'Mia', lives: 9 },
        ],
        animals: () => [
          { __typename: 'Cat', id: 'c', name: 'Mia', lives: 9 },
          { __typename: 'Dog', id: 'd', name: 'Rex', breed: 'Boxer' },
        ],
        first: () => null,
      },
      Dog: { __resolveReference: ({ id }) => ({ id, name: 'Rex', breed: 'Boxer' }) },
      Cat: { __resolveReference: ({ id }) => ({ id, name: 'Mia', lives: 9 }) },
    },
  },
  b: {
    sdl: `${link('2.3', '@key')}
      type Query { guests: [Guest!]! }
      union Guest = Dog | Fish
      interface Fed { food: String }
      type Dog implements Fed @key(fields: "id") { id: ID! food: String friend: Guest }
      type Cat implements Fed @key(fields: "id") { id: ID! food: String }
      type Fish implements Fed @key(fields: "id") { id: ID! food: String water: String }`,
    resolvers: {
      Query: {
        guests: () => [
          { __typename: 'Fish', id: 'f', food: 'flakes', water: 'salt' },
          { __typename: 'Dog', id: 'd', food: 'bones' },
        ],
      },
      Dog: {
        __resolveReference: ({ id }) => ({ id, food: 'bones' }),
        friend: () => ({ __typename: 'Dog', id: 'd2', food: 'bones' }),
      },
      Cat: { __resolveReference: ({ id }) => ({ id, food: 'mice' }) },
    },
  },
};

conformance('interfaces and unions over services', pets, [
  {
    title: 'fetch what each type needs',
    query: '{ pets { __typename ... on Dog { breed food } ... on Cat { lives food } } }',
    data: {
      pets: [
        { __typename: 'Dog', breed: 'Boxer', food: 'bones' },
        { __typename: 'Cat', lives: 9, food: 'mice' },
      ],
    },
  },
  {
    title: 'give fields of an interface that the first service does not know',
    query: '{ animals { name ... on Fed { food } } pets { ... on Fed { food } ... on Animal { name } } }',
    data: {
      animals: [
        { name: 'Mia', food: 'mice' },
        { name: 'Rex', food: 'bones' },
      ],
      pets: [
        { food: 'bones', name: 'Rex' },
        { food: 'mice', name: 'Mia' },
      ],
    },
  },
  {
    title: 'lead through other unions and back',
    query:
      '{ pets { ... on Dog { friend { ... on Dog { name friend { __typename } } } } } guests { ... on Dog { breed } ... on Fish { water } } }',
    data: {
      pets: [{ friend: { name: 'Rex', friend: { __typename: 'Dog' } } }, {}],
      guests: [{ water: 'salt' }, { breed: 'Boxer' }],
    },
  },
  {
    title: 'take named fragments, aliases and conditions',
    query: `query ($dog: Boolean!) {
      pets { ...Dogs @include(if: $dog) ... on Cat @skip(if: $dog) { who: name } ... on Cat { food } }
    }
    fragment Dogs on Dog { ...More eats: food } fragment More on Animal { who: name }`,
    variables: { dog: true },
    data: { pets: [{ who: 'Rex', eats: 'bones' }, { food: 'mice' }] },
    planned: 'fields with and without a condition share their representations',
  },
  { title: 'may be null', query: '{ first { ... on Dog { food } } }', data: { first: null } },
]);

/** One service knows the union, the other only the one member that it ever gives. */
const shop: Subgraphs = {
  bare: {
    sdl: `${link('2.3', '@shareable', '@key')}
      type Query { offer: Book @shareable shelf: Shelf @shareable }
      type Shelf @shareable { top: Book all: [Book!]! }
      type Book @shareable { title: String! }`,
    resolvers: {
      Query: { offer: () => ({ title: 'Emma' }), shelf: () => ({ top: { title: 'Emma' }, all: [{ title: 'Emma' }] }) },
    },
  },
  full: {
    sdl: `${link('2.3', '@shareable', '@key')}
      type Query { offer: Ware @shareable shelf: Shelf @shareable }
      type Shelf @shareable { top: Ware all: [Ware!]! }
      union Ware = Book | Film
      type Book { title: String! @shareable pages: Int }
      type Film { title: String! minutes: Int }`,
    resolvers: {
      Query: {
        offer: () => ({ __typename: 'Book', title: 'Emma', pages: 300 }),
        shelf: () => ({
          top: { __typename: 'Book', title: 'Emma', pages: 300 },
          all: [{ __typename: 'Book', title: 'Emma', pages: 300 }],
        }),
      },
    },
  },
};

conformance('a field that is a union in one service and a member of it in another', shop, [
  {
    title: 'is the union',
    query:
      '{ offer { __typename ... on Book { title } ... on Film { minutes } } shelf { top { ... on Book { title } } all { ... on Book { title } } } }',
    data: {
      offer: { __typename: 'Book', title: 'Emma' },
      shelf: { top: { title: 'Emma' }, all: [{ title: 'Emma' }] },
    },
  },
  {
    title: 'is empty where another member is meant',
    query: '{ offer { ... on Film { title } } shelf { top { ... on Film { title } } } }',
    data: { offer: {}, shelf: { top: {} } },
  },
]);

test('of the types that services give a field, the supergraph has the one that holds all others', () => {
  const { publicSdl, supergraphSdl } = composeFixture(shop);
  assert.match(publicSdl, /offer: Ware\n/);
  assert.match(publicSdl, /top: Ware\n/);
  assert.match(publicSdl, /all: \[Ware!\]!\n/);
  assert.match(supergraphSdl, /top: Ware @join__field\(graph: BARE, type: "Book"\)/);
  assert.match(supergraphSdl, /offer: Ware @join__field\(graph: BARE, type: "Book"\)/);
});

test('members of unions and fields of interfaces come together', () => {
  const { publicSdl } = composeFixture({
    a: {
      sdl: `${link('2.3', '@shareable')} type Query { u: U i: I } union U = A
        interface I { x: Int } type A implements I @shareable { x: Int }`,
    },
    b: {
      sdl: `${link('2.3', '@shareable')} type Query { v: U } union U = B | A type A @shareable { x: Int } type B { y: Int }`,
    },
  });
  assert.match(publicSdl, /union U = (A \| B|B \| A)$/m);
});
