/** Entity interfaces: `@key` on interfaces, and `@interfaceObject`, which adds fields to all that implement one. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { conformance, link, refuseFixture, type Subgraphs } from './fixture.ts';

const items: Record<string, { id: string; title: string }> = {
  b1: { __typename: 'Book', id: 'b1', title: 'Emma', pages: 300 } as never,
  f1: { __typename: 'Film', id: 'f1', title: 'Metropolis', minutes: 150 } as never,
};
const media: Subgraphs = {
  media: {
    sdl: `${link('2.3', '@key')}
      type Query { media: [Medium!]! book: Book }
      interface Medium @key(fields: "id") { id: ID! title: String! }
      type Book implements Medium @key(fields: "id") { id: ID! title: String! pages: Int }
      type Film implements Medium @key(fields: "id") { id: ID! title: String! minutes: Int }`,
    resolvers: {
      Query: { media: () => [items['b1'], items['f1']], book: () => items['b1'] },
      Medium: { __resolveReference: ({ id }) => items[id] },
      Book: { __resolveReference: ({ id }) => items[id] },
      Film: { __resolveReference: ({ id }) => items[id] },
    },
  },
  ratings: {
    sdl: `${link('2.3', '@key', '@interfaceObject', '@external', '@requires')}
      type Query { best: [Medium!]! }
      type Medium @key(fields: "id") @interfaceObject {
        id: ID! title: String! @external
        stars: Int! blurb: String @requires(fields: "title") reviews(first: Int): [Review!]!
      }
      type Review { by: String about: Medium }`,
    resolvers: {
      Query: { best: () => [{ id: 'f1' }, { id: 'b1' }] },
      Medium: {
        __resolveReference: (medium) => medium,
        stars: ({ id }) => (id === 'f1' ? 5 : 4),
        blurb: ({ title }) => `about ${title}`,
        reviews: ({ id }, { first = 1 }) => Array.from({ length: first }, () => ({ by: 'Ada', about: { id } })),
      },
    },
  },
};

conformance('@interfaceObject', media, [
  {
    title: 'adds fields to an interface',
    query: '{ media { __typename title stars } }',
    data: {
      media: [
        { __typename: 'Book', title: 'Emma', stars: 4 },
        { __typename: 'Film', title: 'Metropolis', stars: 5 },
      ],
    },
  },
  {
    title: 'adds them to every type that implements it',
    stitched: 'an object that is no interface where it comes from gets none',
    query: '{ book { pages stars } media { ... on Film { minutes stars } } }',
    data: { book: { pages: 300, stars: 4 }, media: [{}, { minutes: 150, stars: 5 }] },
  },
  {
    title: 'gives objects whose type the other service knows',
    query: '{ best { __typename id title ... on Book { pages } } }',
    data: {
      best: [
        { __typename: 'Film', id: 'f1', title: 'Metropolis' },
        { __typename: 'Book', id: 'b1', title: 'Emma', pages: 300 },
      ],
    },
  },
  {
    title: 'needs nobody else as long as no type is asked for',
    stitched: 'asks for the type all the same',
    query: '{ best { id stars reviews { by about { stars } } } }',
    data: {
      best: [
        { id: 'f1', stars: 5, reviews: [{ by: 'Ada', about: { stars: 5 } }] },
        { id: 'b1', stars: 4, reviews: [{ by: 'Ada', about: { stars: 4 } }] },
      ],
    },
    notAsked: ['media'],
  },
  {
    title: 'can require fields of the interface',
    stitched: 'an object that is no interface where it comes from gets none',
    query: '{ best { blurb } media { blurb } book { blurb } }',
    data: {
      best: [{ blurb: 'about Metropolis' }, { blurb: 'about Emma' }],
      media: [{ blurb: 'about Emma' }, { blurb: 'about Metropolis' }],
      book: { blurb: 'about Emma' },
    },
  },
  {
    title: 'does not give what is external to it',
    query: '{ best { title } }',
    data: { best: [{ title: 'Metropolis' }, { title: 'Emma' }] },
  },
  {
    title: 'goes to and fro',
    stitched: 'an object that is no interface where it comes from gets none',
    query: 'query ($n: Int) { book { reviews(first: $n) { about { title ... on Book { pages } stars } } } }',
    variables: { n: 2 },
    data: {
      book: {
        reviews: [
          { about: { title: 'Emma', pages: 300, stars: 4 } },
          { about: { title: 'Emma', pages: 300, stars: 4 } },
        ],
      },
    },
  },
]);

conformance(
  '@interfaceObject where all services have all fields, one of them external',
  {
    a: {
      sdl: `${link('2.3', '@key')}
        type Query { users: [Named!]! }
        interface Named @key(fields: "id") { id: ID! name: String }
        type User implements Named @key(fields: "id") { id: ID! name: String age: Int }`,
      resolvers: {
        Query: { users: () => [{ __typename: 'User', id: 'u1', name: 'Ada', age: 36 }] },
        Named: { __resolveReference: ({ id }) => ({ __typename: 'User', id, name: 'Ada', age: 36 }) },
        User: { __resolveReference: ({ id }) => ({ id, name: 'Ada', age: 36 }) },
      },
    },
    b: {
      sdl: `${link('2.3', '@key', '@interfaceObject', '@external', '@requires')}
        type Query { others: [Named!]! }
        type Named @key(fields: "id") @interfaceObject { id: ID! name: String @external login: String @requires(fields: "name") }`,
      resolvers: {
        Query: { others: () => [{ id: 'u1', name: 'must not be read' }] },
        Named: { __resolveReference: (named) => named, login: ({ name }) => name?.toLowerCase() },
      },
    },
  },
  [
    { title: 'takes it from its owner', query: '{ others { name } }', data: { others: [{ name: 'Ada' }] } },
    {
      title: 'requires it from there',
      query: '{ users { login } others { id login ... on User { age } } }',
      data: { users: [{ login: 'ada' }], others: [{ id: 'u1', login: 'ada', age: 36 }] },
    },
  ],
);

test('@interfaceObject of an interface that nobody defines is refused', () => {
  const [reason] = refuseFixture({
    a: {
      sdl: `${link('2.3', '@key', '@interfaceObject')} type Query { i: I } type I @key(fields: "id") @interfaceObject { id: ID! }`,
    },
    b: { sdl: `${link('2.3')} type Query { j: Int }` },
  });
  assert.equal(reason?.code, 'INTERFACE_OBJECT_USAGE_ERROR');
  assert.equal(reason?.type, 'I');
});
