/** How enums, inputs, arguments and nullability of several services become one. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { composeFixture, conformance, link, refuseFixture, type Subgraphs } from './fixture.ts';

const two = (a: string, b: string): Subgraphs => ({
  a: { sdl: link('2.3', '@shareable', '@key', '@inaccessible') + a },
  b: { sdl: link('2.3', '@shareable', '@key', '@inaccessible') + b },
});
const publicSdl = (a: string, b: string): string => composeFixture(two(a, b)).publicSdl;
const code = (a: string, b: string): string | undefined => refuseFixture(two(a, b))[0]?.code;

test('an enum of answers has all values, one of inputs those in common, one of both must be equal', () => {
  assert.match(
    publicSdl('type Query { a: E } enum E { X Y }', 'type Query { b: E } enum E { Y Z }'),
    /enum E {\n {2}X\n {2}Y\n {2}Z\n}/,
  );
  assert.match(
    publicSdl('type Query { a(e: E): Int } enum E { X Y }', 'type Query { b(e: E): Int } enum E { Y Z }'),
    /enum E {\n {2}Y\n}/,
  );
  assert.equal(
    code('type Query { a(e: E): Int } enum E { X Y }', 'type Query { b: E } enum E { Y }'),
    'ENUM_VALUE_MISMATCH',
  );
  assert.equal(
    code('type Query { a(e: E): Int } enum E { X }', 'type Query { b(e: E): Int } enum E { Y }'),
    'EMPTY_MERGED_ENUM_TYPE',
  );
  assert.match(
    publicSdl('type Query { a(e: E): E } enum E { X Y @inaccessible }', 'type Query { b(e: E): Int } enum E { X }'),
    /enum E {\n {2}X\n}/,
    'a value that one service hides may be missing in another',
  );
});

test('an input has the fields in common, and a field that must be given must be everywhere', () => {
  assert.match(
    publicSdl(
      'type Query { a(i: I): Int } input I { x: Int y: Int }',
      'type Query { b(i: I): Int } input I { x: Int z: Int }',
    ),
    /input I {\n {2}x: Int\n}/,
  );
  assert.equal(
    code('type Query { a(i: I): Int } input I { x: Int y: Int! }', 'type Query { b(i: I): Int } input I { x: Int }'),
    'REQUIRED_INPUT_FIELD_MISSING_IN_SOME_SUBGRAPH',
  );
  assert.match(
    publicSdl(
      'type Query { a(i: I): Int } input I { x: Int! l: [Int!] }',
      'type Query { b(i: I): Int } input I { x: Int l: [Int] }',
    ),
    /l: \[Int!\]\n {2}x: Int!/,
    'the stricter type',
  );
});

test('a field has the arguments in common, the stricter of their types, and the weaker promise', () => {
  assert.match(
    publicSdl('type Query { f(x: Int y: Int): Int! @shareable }', 'type Query { f(x: Int!): Int @shareable }'),
    /f\(x: Int!\): Int\n/,
  );
  assert.equal(
    code('type Query { f(x: Int y: Int!): Int @shareable }', 'type Query { f(x: Int): Int @shareable }'),
    'REQUIRED_ARGUMENT_MISSING_IN_SOME_SUBGRAPH',
  );
  assert.match(
    publicSdl('type Query { f(l: [Int!]): Int @shareable }', 'type Query { f(l: [Int]): Int @shareable }'),
    /f\(l: \[Int!\]\): Int/,
  );
  assert.match(
    publicSdl('type Query { f: [[Int!]!]! @shareable }', 'type Query { f: [[Int]] @shareable }'),
    /f: \[\[Int\]\]\n/,
  );
  assert.match(
    publicSdl(
      'type Query { t: T } type T @shareable { f: [[T!]!]! }',
      'type Query { u: T } type T @shareable { f: [[T]!] }',
    ),
    /f: \[\[T\]!\]\n/,
  );
});

test('types that do not go together are refused, with type and field', () => {
  for (const [a, b, expected] of [
    ['type Query { f: Int @shareable }', 'type Query { f: String @shareable }', ['FIELD_TYPE_MISMATCH', 'Query', 'f']],
    ['type Query { f: [Int] @shareable }', 'type Query { f: Int @shareable }', ['FIELD_TYPE_MISMATCH', 'Query', 'f']],
    [
      'type Query { f: [Int!] @shareable }',
      'type Query { f: [Int]! @shareable }',
      ['FIELD_TYPE_MISMATCH', 'Query', 'f'],
    ],
    [
      'type Query { f(x: Int): Int @shareable }',
      'type Query { f(x: String): Int @shareable }',
      ['FIELD_ARGUMENT_TYPE_MISMATCH', 'Query', 'f'],
    ],
    [
      'type Query { f(x: Int = 1): Int @shareable }',
      'type Query { f(x: Int = 2): Int @shareable }',
      ['FIELD_ARGUMENT_DEFAULT_MISMATCH', 'Query', 'f'],
    ],
    [
      'type Query { f(i: I): Int } input I { x: Int }',
      'type Query { g(i: I): Int } input I { x: String }',
      ['FIELD_TYPE_MISMATCH', 'I', 'x'],
    ],
    [
      'type Query { f: T } type T { x: Int }',
      'type Query { g: T } enum T { X }',
      ['TYPE_KIND_MISMATCH', 'T', undefined],
    ],
    [
      'type Query { f: I } interface I { x: Int } type A implements I { x: Int }',
      'type Query { g: I } interface I { y: Int } type B implements I { y: Int }',
      ['INTERFACE_FIELD_NO_IMPLEM', 'I', 'y'],
    ],
  ] as const) {
    const [reason] = refuseFixture(two(a, b));
    assert.deepEqual([reason?.code, reason?.type, reason?.field], expected, b);
  }
});

test('an interface between a field and the types of other services is no mismatch', () => {
  const sdl = publicSdl(
    `type Query { h: H @shareable } type H @shareable { u: Node } interface Node { id: ID }
     interface Named implements Node { id: ID name: String } type A implements Node & Named @shareable { id: ID name: String }`,
    `type Query { h: H @shareable } type H @shareable { u: Named } interface Named { id: ID name: String }
     type A implements Named @shareable { id: ID name: String }`,
  );
  assert.match(sdl, /u: Node\n/);
});

test('descriptions, deprecations and default values stay', () => {
  const sdl = publicSdl(
    `"""the root""" type Query { "one" f(x: Int = 3 @deprecated(reason: "old")): Int @shareable @deprecated(reason: "use g") }`,
    'type Query { f(x: Int = 3): Int @shareable g: Int }',
  );
  assert.match(sdl, /"""the root"""\ntype Query/);
  assert.match(sdl, /"""one"""\n {2}f\(x: Int = 3 @deprecated\(reason: "old"\)\): Int @deprecated\(reason: "use g"\)/);
});

conformance(
  'root types of other names',
  {
    a: {
      sdl: `schema { query: RootQuery mutation: Changes } ${link('2.3', '@key')} type RootQuery { a: Int self: RootQuery } type Changes { setA: Int }`,
      resolvers: { RootQuery: { a: () => 1, self: () => ({}) }, Changes: { setA: () => 2 } },
    },
    b: {
      sdl: `${link('2.3', '@key')} type Query { b: Int } type Mutation { setB: Int }`,
      resolvers: { Query: { b: () => 3 }, Mutation: { setB: () => 4 } },
    },
  },
  [
    {
      title: 'are Query and Mutation',
      query: '{ a b self { a __typename } }',
      data: { a: 1, b: 3, self: { a: 1, __typename: 'Query' } },
    },
    { title: 'change things', query: 'mutation { setB setA }', data: { setB: 4, setA: 2 } },
  ],
);

conformance(
  'custom scalars, enums and input objects',
  {
    a: {
      sdl: `${link('2.3', '@key')} scalar JSON enum Mode { FAST SLOW }
        input Range { from: Int = 1 to: Int! modes: [Mode!] = [SLOW] }
        type Query { echo(range: Range!, any: JSON): Echo } type Echo @key(fields: "id") { id: ID! range: JSON any: JSON mode: Mode }`,
      resolvers: { Query: { echo: (_, { range, any }) => ({ id: 'e', range, any, mode: 'SLOW' }) } },
    },
    b: {
      sdl: `${link('2.3', '@key')} scalar JSON enum Mode { FAST SLOW }
        type Echo @key(fields: "id") { id: ID! again(any: JSON, mode: Mode = FAST, list: [[Int]]): JSON }`,
      resolvers: { Echo: { __resolveReference: (echo) => echo, again: (_, args) => args } },
    },
  },
  [
    {
      title: 'pass as variables and as literals, with defaults',
      query: `query ($range: Range!, $any: JSON, $mode: Mode = SLOW, $list: [[Int]]) {
        echo(range: $range, any: $any) { range any mode again(any: { deep: [$any, { x: null }] }, mode: $mode, list: $list) }
        other: echo(range: { to: 2, modes: FAST }, any: [1, 2.5, "a", true, null, { b: ENUM }]) { range any again(list: [[1], [null]]) }
      }`,
      variables: { range: { to: 9 }, any: { a: [1, null] }, list: [[1, 2], null] },
      data: {
        echo: {
          range: { from: 1, to: 9, modes: ['SLOW'] },
          any: { a: [1, null] },
          mode: 'SLOW',
          again: { any: { deep: [{ a: [1, null] }, { x: null }] }, mode: 'SLOW', list: [[1, 2], null] },
        },
        other: {
          range: { from: 1, to: 2, modes: ['FAST'] },
          any: [1, 2.5, 'a', true, null, { b: 'ENUM' }],
          again: { mode: 'FAST', list: [[1], [null]] },
        },
      },
    },
  ],
);

conformance(
  'fields that give Query',
  {
    a: {
      sdl: `${link('2.3')} type Query { a: Int self: Query } type Mutation { set: Payload } type Payload { ok: Boolean query: Query! }`,
      resolvers: { Query: { a: () => 1, self: () => ({}) }, Mutation: { set: () => ({ ok: true, query: {} }) } },
    },
    b: { sdl: `${link('2.3')} type Query { b(x: Int): Int }`, resolvers: { Query: { b: (_, { x = 2 }) => x } } },
  },
  [
    {
      title: 'lead to the root fields of all services',
      planned: 'the planner loses the path to a Query inside of another',
      query: '{ self { a b self { c: b(x: 3) } } }',
      data: { self: { a: 1, b: 2, self: { c: 3 } } },
    },
    {
      title: 'lead there after a mutation',
      query: 'mutation ($x: Int) { set { ok query { a b(x: $x) } } }',
      variables: { x: 5 },
      data: { set: { ok: true, query: { a: 1, b: 5 } } },
    },
  ],
);
