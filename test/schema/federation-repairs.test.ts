/** Each fault of the composing library, with its repair and without: where the second half fails, the repair may go. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { buildASTSchema, validateSchema } from 'graphql';
import { composeSupergraph, type Supergraph } from '../../schema/federation.ts';
import { allRepairs, type FederationRepairs } from '../../schema/federation-repairs.ts';
import { parseSdl } from '../../schema/sdl.ts';
import { link } from '../conformance/fixture.ts';

type Sdls = Readonly<Record<string, string>>;

function compose(sdls: Sdls, without?: keyof FederationRepairs): ReturnType<typeof composeSupergraph> {
  const services = Object.entries(sdls).map(([name, sdl]) => ({ name, document: parseSdl(sdl, name) }));
  return composeSupergraph(services, { repairs: without ? { ...allRepairs, [without]: false } : allRepairs });
}

function supergraph(sdls: Sdls, without?: keyof FederationRepairs): Supergraph {
  const result = compose(sdls, without);
  assert.ok('sdl' in result, JSON.stringify(result));
  return result;
}

function refusal(sdls: Sdls, without: keyof FederationRepairs): string | undefined {
  try {
    const result = compose(sdls, without);
    assert.ok(Array.isArray(result), 'the library does it right by now');
    return result[0].code;
  } catch (error) {
    assert.ok(!(error instanceof assert.AssertionError), error as Error);
    return 'thrown';
  }
}

const all = link('2.3', '@key', '@external', '@requires', '@shareable', '@interfaceObject', '@inaccessible');

const requirement = (fields: string): Sdls => ({
  a: `${all} type Query { shelf: Shelf } type Shelf @key(fields: "id") { id: ID! medium: Medium any: Any }
    interface Medium { title: String } interface Written implements Medium { title: String by: String }
    type Book implements Medium & Written @shareable { title: String by: String } type Film implements Medium @shareable { title: String }
    union Any = Book | Film`,
  b: `${all} type Shelf @key(fields: "id") { id: ID! ${fields.startsWith('any') ? 'any: Any' : 'medium: Medium'} @external label: String @requires(fields: "${fields}") }
    interface Medium { title: String } interface Written implements Medium { title: String by: String }
    type Book implements Medium & Written @shareable { title: String by: String } type Film implements Medium @shareable { title: String }
    union Any = Book | Film`,
});

for (const [fields, fault] of [
  ['medium { ... on Written { by ... on Book { title } } }', 'SATISFIABILITY_ERROR'],
  ['any { ... on Any { ... on Book { title } } }', 'thrown'],
  ['medium { ... { title } }', 'thrown'],
] as const) {
  test(`requiredFragments: ${fields}`, () => {
    assert.ok(supergraph(requirement(fields)).sdl.includes('requires:'));
    assert.equal(refusal(requirement(fields), 'requiredFragments'), fault);
  });
}

test('requiredFragments: what is required is served as it was written', () => {
  assert.match(
    supergraph(requirement('medium { ... on Written { by } }')).sdl,
    /requires: "medium\s?{\s?\.\.\.\s?on Written\s?{\s?by\s?}\s?}"/,
  );
});

test('requiredFragments: a requirement that nobody can meet is refused all the same', () => {
  const { a = '', b = '' } = requirement('medium { ... on Written { by } }');
  const unreachable = {
    a: a.replace('fields: "id"', 'fields: "id", resolvable: false'),
    b: `${b} type Query { mine: Shelf }`,
  };
  const result = compose(unreachable);
  assert.ok(Array.isArray(result));
  assert.ok(result.every(({ code }) => code === 'SATISFIABILITY_ERROR'));
});

test('interfaceObjectFields: an external field of an interface object stays external', () => {
  const sdls = {
    a: `${all} type Query { n: N } interface N @key(fields: "id") { id: ID! name: String }
      type U implements N @key(fields: "id") { id: ID! name: String }`,
    b: `${all} type N @key(fields: "id") @interfaceObject { id: ID! name: String @external }
      extend type N { login: String @requires(fields: "name") }`,
  };
  const external =
    /interface N .*{\n {2}id: ID!\n {2}name: String @join__field\(graph: A\) @join__field\(graph: B, external: true\)\n/;
  assert.match(supergraph(sdls).sdl, external);
  assert.doesNotMatch(supergraph(sdls, 'interfaceObjectFields').sdl, external);
});

const union = {
  a: `${all} type Query { one: Book @shareable shelf: Shelf @shareable } type Shelf @shareable { top: Book }
    type Book @key(fields: "id") { id: ID! title: String @shareable }`,
  b: `${all} type Query { one: Ware @shareable shelf: Shelf @shareable } type Shelf @shareable { top: Ware } union Ware = Book | Film
    type Book @key(fields: "id") { id: ID! title: String @shareable pages: Int } type Film { title: String }`,
};

test('typeReferences: a union and a member of it are the union, and the narrower service is known', () => {
  const repaired = supergraph(union).sdl;
  assert.match(repaired, /one: Ware @join__field\(graph: A, type: "Book"\) @join__field\(graph: B\)/);
  assert.match(repaired, /top: Ware @join__field\(graph: A, type: "Book"\) @join__field\(graph: B\)/);
  const broken = supergraph(union, 'typeReferences').sdl;
  assert.match(broken, /one: Book\n/);
  assert.match(broken, /top: Book @join__field/);
});

test('typeReferences: fields of a member that only the service of the union has can be reached there', () => {
  const sdls = {
    a: union.a.replace('@key(fields: "id") { id: ID! ', '{ '),
    b: union.b.replace('@key(fields: "id") { id: ID! ', '{ '),
  };
  assert.match(supergraph(sdls).sdl, /one: Ware/);
  assert.equal(refusal(sdls, 'typeReferences'), 'SATISFIABILITY_ERROR');
});

for (const [title, a, b, merged, fault] of [
  [
    'lists of lists',
    'type Query { x: [[Int!]!]! @shareable }',
    'type Query { x: [[Int]] @shareable }',
    /x: \[\[Int\]\]/,
    'FIELD_TYPE_MISMATCH',
  ],
  [
    'lists of inputs',
    'type Query { x(i: I): Int } input I { l: [Int!] }',
    'type Query { y(i: I): Int } input I { l: [Int] }',
    /l: \[Int!\]/,
    'FIELD_TYPE_MISMATCH',
  ],
  [
    'lists of arguments',
    'type Query { x(l: [Int!]): Int @shareable }',
    'type Query { x(l: [Int]): Int @shareable }',
    /x\(l: \[Int!\]\)/,
    'FIELD_ARGUMENT_TYPE_MISMATCH',
  ],
  [
    'an interface that implements another',
    'type Query { x: N @shareable } interface N { i: Int } interface M implements N { i: Int } type T implements N & M @shareable { i: Int }',
    'type Query { x: M @shareable } interface M { i: Int } type T implements M @shareable { i: Int }',
    /x: N/,
    'FIELD_TYPE_MISMATCH',
  ],
] as const) {
  test(`typeReferences: ${title} are no mismatch`, () => {
    const sdls = { a: all + a, b: all + b };
    assert.match(supergraph(sdls).sdl, merged);
    assert.equal(refusal(sdls, 'typeReferences'), fault);
  });
}

test('queryFields: a field that gives Query leads to the root fields of other services', () => {
  const sdls = {
    a: `${all} type Query { a: Int } type Mutation { set: Payload } type Payload { ok: Boolean query: Query! }`,
    b: `${all} type Query { b: Int }`,
  };
  assert.match(supergraph(sdls).sdl, /query: Query!/);
  assert.equal(refusal(sdls, 'queryFields'), 'SATISFIABILITY_ERROR');
});

test('names: a namespace and root types of other names', () => {
  const namespace = {
    a: `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", as: "fed") type Query { a: A } type A @fed__key(fields: "id") { id: ID! }`,
  };
  assert.match(supergraph(namespace).sdl, /type A @join__type\(graph: A, key: "id"\)/);
  assert.equal(refusal(namespace, 'names'), 'INVALID_GRAPHQL');
  const root = { a: `schema { query: Root } ${all} type Root { a: Int self: Root }` };
  assert.match(supergraph(root).sdl, /self: Query/);
  assert.equal(refusal(root, 'names'), 'thrown');
});

test('unionMembers: the public schema is a schema although a member of a union is hidden', () => {
  const sdls = { a: `${all} type Query { u: U } union U = A | B type A { x: Int } type B @inaccessible { y: Int }` };
  const build = (without?: keyof FederationRepairs) =>
    buildASTSchema(supergraph(sdls, without).publicDocument, { assumeValidSDL: true });
  assert.deepEqual(validateSchema(build()), []);
  assert.throws(() => build('unionMembers'));
});

test('a supergraph that has none of these faults is left as it was composed', () => {
  const sdls = {
    a: `${all} type Query { a: A } type A @key(fields: "id") { id: ID! }`,
    b: `${all} type A @key(fields: "id") { id: ID! b: Int }`,
  };
  const { document } = supergraph(sdls);
  for (const name of Object.keys(allRepairs) as (keyof FederationRepairs)[]) {
    assert.deepEqual(supergraph(sdls, name).document, document);
  }
});
