/** `@inaccessible` and `@tag`: what is in the graph and not for clients, and what is said about it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFixture, conformance, link, refuseFixture, type Subgraphs } from './fixture.ts';

const hidden: Subgraphs = {
  a: {
    sdl: `${link('2.3', '@key', '@inaccessible', '@shareable', '@tag')}
      type Query {
        things(first: Int, debug: Boolean @inaccessible): [Thing!]! @tag(name: "public")
        kinds(only: Kind): [Kind]
        node: Node any: Any secret: Secret @inaccessible
        search(filter: Filter): Int
      }
      interface Node { id: ID! internal: String @inaccessible }
      type Thing implements Node @key(fields: "id") {
        id: ID! name: String internal: String @inaccessible kind: Kind
      }
      type Secret implements Node @inaccessible { id: ID! internal: String @inaccessible }
      union Any = Thing | Secret
      enum Kind { OPEN SHUT HIDDEN @inaccessible }
      input Filter { text: String raw: String @inaccessible }
      scalar Raw @inaccessible
      interface Ghost @inaccessible { id: ID! }`,
    resolvers: {
      Query: {
        things: () => [
          { id: '1', name: 'one', internal: 'i1', kind: 'OPEN' },
          { id: '2', name: 'two', internal: 'i2', kind: 'HIDDEN' },
        ],
        kinds: () => ['OPEN', 'HIDDEN', 'SHUT'],
        node: () => ({ __typename: 'Secret', id: 's' }),
        any: () => ({ __typename: 'Secret', id: 's' }),
        search: () => 1,
      },
      Thing: { __resolveReference: ({ id }) => ({ id, name: `name ${id}` }) },
    },
  },
  b: {
    sdl: `${link('2.3', '@key', '@external', '@requires')}
      type Thing @key(fields: "id") { id: ID! internal: String @external derived: String @requires(fields: "internal") }`,
    resolvers: { Thing: { __resolveReference: (thing) => thing, derived: ({ internal }) => `from ${internal}` } },
  },
};

conformance('@inaccessible', hidden, [
  {
    title: 'fields can be required by other services',
    query: '{ things { name derived } }',
    data: {
      things: [
        { name: 'one', derived: 'from i1' },
        { name: 'two', derived: 'from i2' },
      ],
    },
  },
  {
    title: 'enum values never leave: they are null, and an error says that something is not right',
    query: '{ things { name kind } kinds }',
    data: {
      things: [
        { name: 'one', kind: 'OPEN' },
        { name: 'two', kind: null },
      ],
      kinds: ['OPEN', null, 'SHUT'],
    },
    errors: ['kinds.1: undefined', 'things.1.kind: undefined'],
    stitched: 'they are null without an error',
  },
  {
    title: 'types never leave by interfaces and unions',
    query: '{ node { __typename id } any { __typename ... on Thing { id } } }',
    data: { node: null, any: null },
  },
]);

test('nothing that is @inaccessible is in the public schema', () => {
  const { publicSdl } = composeFixture(hidden);
  assert.doesNotMatch(publicSdl, /internal|debug|secret|HIDDEN|raw|Ghost|@|tag/i);
  assert.match(publicSdl, /union Any = Thing\n/);
});

conformance(
  '@inaccessible keys',
  {
    a: {
      sdl: `${link('2.3', '@key', '@inaccessible')}
        type Query { user: User } type User @key(fields: "id") { id: ID! @inaccessible name: String }`,
      resolvers: { Query: { user: () => ({ id: 'u', name: 'Ada' }) } },
    },
    b: {
      sdl: `${link('2.3', '@key')} type User @key(fields: "id") { id: ID! posts: [String!]! }`,
      resolvers: { User: { __resolveReference: (user) => user, posts: ({ id }) => [`post of ${id}`] } },
    },
  },
  [
    {
      title: 'still join, and one service is enough to hide them',
      query: '{ user { name posts } }',
      data: { user: { name: 'Ada', posts: ['post of u'] } },
    },
  ],
);

test('what clients need must be accessible', () => {
  const cases: readonly [string, string][] = [
    ['type Query { a: A } type A @inaccessible { x: Int }', 'REFERENCED_INACCESSIBLE'],
    ['type Query { a: A } type A { x: Int @inaccessible }', 'ONLY_INACCESSIBLE_CHILDREN'],
    ['type Query @inaccessible { a: Int }', 'QUERY_ROOT_TYPE_INACCESSIBLE'],
    ['type Query { a(x: Int! @inaccessible): Int }', 'REQUIRED_INACCESSIBLE'],
    [
      'type Query { a: I } interface I { x: Int } type A implements I { x: Int @inaccessible y: Int }',
      'IMPLEMENTED_BY_INACCESSIBLE',
    ],
    ['type Query { a(k: K = B): Int } enum K { A B @inaccessible }', 'DEFAULT_VALUE_USES_INACCESSIBLE'],
  ];
  for (const [sdl, code] of cases) {
    const reasons = refuseFixture({ only: { sdl: link('2.3', '@inaccessible') + sdl } });
    assert.equal(reasons[0]?.code, code, sdl);
    assert.ok(reasons[0]?.type !== undefined, `${code} names a type`);
  }
});

test('@tag goes into the supergraph, from every place that may have one, and not to clients', () => {
  const tagged = composeFixture({
    a: {
      sdl: `${link('2.3', '@tag', '@key')}
        type Query @tag(name: "t1") { a(x: Int @tag(name: "t2")): A @tag(name: "t3") }
        type A @key(fields: "id") { id: ID! u: U i: I e: E s: S } union U @tag(name: "t4") = A
        interface I @tag(name: "t5") { x: Int } type B implements I { x: Int } enum E @tag(name: "t6") { X @tag(name: "t7") }
        scalar S @tag(name: "t8")
        input In @tag(name: "t9") { a: Int @tag(name: "t10") } extend type Query { b(in: In): Int }`,
    },
    b: {
      sdl: `${link('2.3', '@tag', '@key')} type A @key(fields: "id") @tag(name: "t11") { id: ID! @tag(name: "t12") c: Int }`,
    },
  });
  for (let index = 1; index <= 12; index += 1)
    assert.match(tagged.supergraphSdl, new RegExp(`@tag\\(name: "t${index}"\\)`));
  assert.doesNotMatch(tagged.publicSdl, /@tag|directive/);
});
