import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildASTSchema, getOperationAST, parse } from 'graphql';
import { buildCostModel, type FieldCost } from '../../policies/cost-model.ts';
import { createOperationMeasure } from '../../policies/operation-cost.ts';
import { collectCosts } from '../../schema/cost-directives.ts';

const directives = /* GraphQL */ `
  directive @cost(weight: String!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR
  directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
`;

/** What an operation costs where one service says it all. */
function costOf(sdl: string, text: string, variables = {}, configured: Record<string, FieldCost> = {}) {
  const document = parse(directives + sdl);
  const schema = buildASTSchema(document);
  const measure = createOperationMeasure(
    schema,
    buildCostModel({
      schema,
      directives: collectCosts([document]),
      configured: new Map(Object.entries(configured)),
      listSize: 10,
      slicingArguments: ['first', 'last', 'limit'],
    }),
  );
  const query = parse(text);
  const operation = getOperationAST(query);
  assert.ok(operation);
  return measure(query, operation, variables);
}

describe('@cost', () => {
  it('weighs fields, types, enums and scalars, that of the field before that of its type', () => {
    const sdl = `type Query { a: A b: A @cost(weight: "2") c: C d: D e: Int @cost(weight: "7") }
      type A @cost(weight: "5") { id: ID } scalar C @cost(weight: "3") enum D @cost(weight: "4") { X }`;
    assert.equal(costOf(sdl, '{ a { id } }').cost, 5);
    assert.equal(costOf(sdl, '{ b { id } }').cost, 2);
    assert.equal(costOf(sdl, '{ c }').cost, 3);
    assert.equal(costOf(sdl, '{ d }').cost, 4);
    assert.equal(costOf(sdl, '{ e a { id } }').cost, 12);
  });

  it('weighs arguments and what they hold, however they are given', () => {
    const sdl = `type Query { find(where: Where, exact: Boolean @cost(weight: "6")): Int }
      input Where { text: String @cost(weight: "10") and: [Where!] deep: Deep } input Deep { x: Int = 1 @cost(weight: "1") }`;
    assert.equal(costOf(sdl, '{ find(exact: true) }').cost, 6);
    assert.equal(costOf(sdl, '{ find(exact: null, where: { text: "a" }) }').cost, 10);
    assert.equal(costOf(sdl, '{ find(where: { and: [{ text: "a" }, { text: "b" }] }) }').cost, 20);
    assert.equal(costOf(sdl, '{ find(where: { deep: {} }) }').cost, 1);
    const text = 'query ($w: Where, $t: String = "x") { find(where: $w) other: find(where: { text: $t }) }';
    assert.equal(costOf(sdl, text, { w: { and: [{ text: 'a' }], deep: { x: 2 } } }).cost, 21);
  });

  it('says enough of values that are nested without end', () => {
    const sdl = 'type Query { find(where: Where): Int } input Where { and: Where text: String @cost(weight: "1") }';
    let where: object = {};
    for (let i = 0; i < 100_000; i++) where = { and: where };
    assert.ok(costOf(sdl, 'query ($w: Where) { find(where: $w) }', { w: where }).cost >= 1_000_000);
  });

  it('of the dearest type holds where a field is asked of an interface', () => {
    const sdl = `type Query { node: Node } interface Node { posts: [Post] @listSize(assumedSize: 2) }
      type User implements Node { posts: [Post] @cost(weight: "50") } type Team implements Node { posts: [Post] } type Post { id: ID }`;
    assert.equal(costOf(sdl, '{ node { posts { id } } }').cost, 1 + 2 * 50);
  });

  it('never pays for something else', () => {
    assert.equal(costOf('type Query { a: Int @cost(weight: "-5") b: Int @cost(weight: "9") }', '{ a b }').cost, 9);
    assert.equal(costOf('type Query { a: Int @cost(weight: "much") b: Int }', '{ a b }').cost, 1);
  });
});

describe('@listSize', () => {
  it('says how long a list is assumed to be, and which argument says it better', () => {
    const sdl = `type Query { a: [A] @listSize(assumedSize: 30) b(top: Int): [A] @listSize(assumedSize: 40, slicingArguments: ["top"], requireOneSlicingArgument: false)
      c(page: Page): [A] @listSize(slicingArguments: ["page.size"]) } type A { id: ID } input Page { size: Int }`;
    assert.equal(costOf(sdl, '{ a { id } }').cost, 30);
    assert.equal(costOf(sdl, '{ b { id } }').cost, 40);
    assert.equal(costOf(sdl, '{ b(top: 3) { id } }').cost, 3);
    assert.equal(costOf(sdl, '{ c(page: { size: 4 }) { id } }').cost, 4);
    assert.equal(costOf(sdl, 'query ($p: Page) { c(page: $p) { id } }', { p: { size: 6 } }).cost, 6);
  });

  it('holds for the sized fields below, and for no others', () => {
    const sdl = `type Query { page(first: Int): Page @listSize(slicingArguments: ["first"], sizedFields: ["edges"]) }
      type Page { edges: [A] nodes: [A] } type A { id: ID }`;
    assert.equal(costOf(sdl, '{ page(first: 3) { edges { id } } }').cost, 1 + 3);
    assert.equal(costOf(sdl, '{ page(first: 3) { nodes { id } } }').cost, 1 + 10);
    const fragments = '{ page(first: 3) { ...F } other: page(first: 5) { ...F } } fragment F on Page { edges { id } }';
    assert.equal(costOf(sdl, fragments).cost, 1 + 3 + 1 + 5);
  });

  it('insists on one slicing argument unless it says otherwise', () => {
    const sdl =
      'type Query { a(first: Int, last: Int): [A] @listSize(slicingArguments: ["first", "last"]) } type A { id: ID }';
    assert.equal(costOf(sdl, '{ a(first: 1) { id } }').unbounded, null);
    assert.match(costOf(sdl, '{ a { id } }').unbounded ?? '', /"Query.a" needs exactly one/);
    assert.match(costOf(sdl, '{ a(first: 1, last: 1) { id } }').unbounded ?? '', /exactly one/);
  });

  it('gives way to the configuration, name by name', () => {
    const sdl =
      'type Query { a(first: Int): [A] @cost(weight: "5") @listSize(slicingArguments: ["first"]) } type A { id: ID }';
    const { cost, unbounded } = costOf(sdl, '{ a { id } }', {}, { 'Query.a': { listSize: 3 } });
    assert.deepEqual([cost, unbounded], [15, null]);
    assert.equal(costOf(sdl, '{ a(first: 2) { id } }', {}, { 'Query.a': { weight: 1 } }).cost, 2);
  });
});

describe('directives of several services', () => {
  it('are read by the names that they have there, and the largest counts', () => {
    const link =
      'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: [{ name: "@cost", as: "@price" }])';
    const { fields, weights } = collectCosts([
      parse(
        `${link} type Query { a: Int @price(weight: 3) b(x: Int @price(weight: 2)): Int @federation__listSize(assumedSize: 5) }`,
      ),
      parse('schema { query: Root } type Root { a: Int @cost(weight: 9) } input I { x: Int @cost(weight: 1) }'),
    ]);
    assert.equal(fields.get('Query.a')?.weight, 9);
    assert.equal(fields.get('Query.b')?.listSize, 5);
    assert.deepEqual(
      [...weights],
      [
        ['Query.b(x:)', 2],
        ['I.x', 1],
      ],
    );
  });
});
