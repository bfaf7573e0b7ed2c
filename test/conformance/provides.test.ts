/** `@provides`: fields of another service that come along on one path. */
import { conformance, link, type Subgraphs } from './fixture.ts';

const reviews: Subgraphs = {
  users: {
    sdl: `${link('2.3', '@key', '@shareable')}
      type Query { me: User }
      type User @key(fields: "id") { id: ID! name: String email: String address: Address }
      type Address @shareable { city: String street: String }`,
    resolvers: {
      Query: { me: () => ({ id: 'u1' }) },
      User: {
        __resolveReference: (user) => user,
        name: ({ id }) => `name of ${id}`,
        email: ({ id }) => `${id}@example.org`,
        address: () => ({ city: 'Ulm', street: 'Hirschstr.' }),
      },
    },
  },
  reviews: {
    sdl: `${link('2.3', '@key', '@external', '@provides', '@shareable')}
      type Query {
        reviews: [Review!]! @provides(fields: "author { name }")
        plain: [Review!]!
        addressed: Review @provides(fields: "author { address { city } }")
      }
      type Review @key(fields: "id") { id: ID! author: User body: String }
      type User @key(fields: "id") { id: ID! name: String @external address: Address @external }
      type Address { city: String @shareable street: String @shareable }`,
    resolvers: {
      Query: {
        reviews: () => [{ id: 'r1', author: { id: 'u1', name: 'name of u1' }, body: 'good' }],
        plain: () => [{ id: 'r1', author: { id: 'u1', name: 'must not be read' } }],
        addressed: () => ({ id: 'r1', author: { id: 'u1', address: { city: 'Ulm' } } }),
      },
    },
  },
};

conformance('@provides', reviews, [
  {
    title: 'saves the way to the service that has the field',
    query: '{ reviews { body author { id name } } }',
    data: { reviews: [{ body: 'good', author: { id: 'u1', name: 'name of u1' } }] },
    notAsked: ['users'],
  },
  {
    title: 'holds on its path only',
    stitched: 'reads external fields wherever the service gives them',
    query: '{ plain { author { name } } }',
    data: { plain: [{ author: { name: 'name of u1' } }] },
  },
  {
    title: 'does not hide fields beside it',
    stitched: 'reads external fields wherever the service gives them',
    query: '{ reviews { author { name email } } plain { author { name } } }',
    data: {
      reviews: [{ author: { name: 'name of u1', email: 'u1@example.org' } }],
      plain: [{ author: { name: 'name of u1' } }],
    },
  },
  {
    title: 'reaches into objects',
    query: '{ addressed { author { address { city } } } }',
    data: { addressed: { author: { address: { city: 'Ulm' } } } },
    notAsked: ['users'],
  },
  {
    title: 'gives part of an object, and the rest is fetched',
    query: '{ addressed { author { address { city street } } } }',
    data: { addressed: { author: { address: { city: 'Ulm', street: 'Hirschstr.' } } } },
  },
]);

const animals: Subgraphs = {
  zoo: {
    sdl: `${link('2.3', '@key', '@external', '@provides', '@shareable')}
      type Query {
        animals: [Animal!]! @shareable @provides(fields: "... on Dog { name } ... on Cat { age }")
        pets: [Pet!]! @provides(fields: "... on Dog { name }")
        bare: [Animal!]!
      }
      interface Animal { id: ID! name: String }
      type Dog implements Animal @key(fields: "id") { id: ID! name: String @external }
      type Cat implements Animal @key(fields: "id") { id: ID! name: String @external age: Int @external }
      union Pet = Dog | Cat`,
    resolvers: {
      Query: {
        animals: () => [
          { __typename: 'Dog', id: 'd', name: 'Rex (zoo)', age: 0 },
          { __typename: 'Cat', id: 'c', name: 'must not be read', age: 33 },
        ],
        pets: () => [
          { __typename: 'Dog', id: 'd', name: 'Rex (zoo)' },
          { __typename: 'Cat', id: 'c', name: 'must not be read' },
        ],
        bare: () => [{ __typename: 'Dog', id: 'd', name: 'must not be read' }],
      },
    },
  },
  register: {
    sdl: `${link('2.3', '@key', '@shareable')}
      type Query { animals: [Animal!]! @shareable }
      interface Animal { id: ID! name: String age: Int }
      type Dog implements Animal @key(fields: "id") { id: ID! name: String @shareable age: Int @shareable }
      type Cat implements Animal @key(fields: "id") { id: ID! name: String @shareable age: Int @shareable }`,
    resolvers: {
      Query: {
        animals: () => [
          { __typename: 'Dog', id: 'd' },
          { __typename: 'Cat', id: 'c' },
        ],
      },
      Dog: { __resolveReference: (dog) => ({ ...dog, __typename: 'Dog' }), name: () => 'Rex', age: () => 4 },
      Cat: { __resolveReference: (cat) => ({ ...cat, __typename: 'Cat' }), name: () => 'Mia', age: () => 3 },
    },
  },
};

conformance('@provides on abstract types', animals, [
  {
    title: 'gives what it says for one member of a union, and the other is fetched',
    query: '{ pets { ... on Dog { name } ... on Cat { name } } }',
    data: { pets: [{ name: 'Rex (zoo)' }, { name: 'Mia' }] },
  },
  {
    title: 'asks nobody where the union gives all',
    query: '{ pets { __typename ... on Dog { name } } }',
    data: { pets: [{ __typename: 'Dog', name: 'Rex (zoo)' }, { __typename: 'Cat' }] },
    notAsked: ['register'],
  },
  {
    title: 'is not believed on paths without it',
    stitched: 'cannot name the type of an object of an interface without its own fields',
    query: '{ bare { id name } }',
    data: { bare: [{ id: 'd', name: 'Rex' }] },
  },
]);

conformance(
  '@provides of an interface field whose implementations are external',
  {
    shelf: {
      sdl: `${link('2.3', '@key', '@external', '@provides', '@shareable')}
        type Query { medium: Medium @shareable @provides(fields: "animals { id name }") bare: Medium }
        interface Medium { id: ID! animals: [Animal] }
        interface Animal { id: ID! name: String }
        type Book implements Medium @key(fields: "id") { id: ID! animals: [Animal] @external }
        type Dog implements Animal @key(fields: "id") { id: ID! @external name: String @external }
        type Cat implements Animal @key(fields: "id") { id: ID! @external name: String @external }`,
      resolvers: {
        Query: {
          medium: () => ({
            __typename: 'Book',
            id: 'b',
            animals: [
              { __typename: 'Dog', id: 'd', name: 'Rex' },
              { __typename: 'Cat', id: 'c', name: 'Mia' },
            ],
          }),
          bare: () => ({ __typename: 'Book', id: 'b', animals: [] }),
        },
      },
    },
    books: {
      sdl: `${link('2.3', '@key', '@shareable')}
        interface Medium { id: ID! animals: [Animal] }
        interface Animal { id: ID! name: String }
        type Book implements Medium @key(fields: "id") { id: ID! animals: [Animal] @shareable }
        type Dog implements Animal @key(fields: "id") { id: ID! name: String @shareable age: Int }
        type Cat implements Animal @key(fields: "id") { id: ID! name: String @shareable age: Int }`,
      resolvers: {
        Book: {
          __resolveReference: (book) => ({ ...book, __typename: 'Book' }),
          animals: () => [{ __typename: 'Dog', id: 'd', name: 'Rex' }],
        },
        Dog: { __resolveReference: (dog) => ({ ...dog, __typename: 'Dog' }), age: () => 4 },
        Cat: { __resolveReference: (cat) => ({ ...cat, __typename: 'Cat' }), age: () => 3 },
      },
    },
  },
  [
    {
      title: 'saves the way',
      query: '{ medium { animals { id name } } }',
      data: {
        medium: {
          animals: [
            { id: 'd', name: 'Rex' },
            { id: 'c', name: 'Mia' },
          ],
        },
      },
      notAsked: ['books'],
    },
    {
      title: 'is fetched where nothing provides it',
      stitched: 'reads external fields wherever the service gives them',
      query: '{ bare { animals { name } } }',
      data: { bare: { animals: [{ name: 'Rex' }] } },
    },
    {
      title: 'goes on to what is not provided',
      stitched: 'does not go on from an object that was provided',
      query: '{ medium { animals { name ... on Cat { age } } } }',
      data: { medium: { animals: [{ name: 'Rex' }, { name: 'Mia', age: 3 }] } },
    },
  ],
);
