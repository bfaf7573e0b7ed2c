import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildSchema, getOperationAST, parse } from 'graphql';
import type { CostModel, FieldCost } from '../../policies/cost-model.ts';
import { createOperationMeasure } from '../../policies/operation-cost.ts';

const schema = buildSchema(/* GraphQL */ `
  interface Node { id: ID! }
  type User implements Node { id: ID! name: String posts(first: Int, last: Int): [Post!]! }
  type Post implements Node { id: ID! title: String author: User }
  type UserEdge { node: User }
  type UserConnection { total: Int edges: [UserEdge] }
  type Query {
    me: User
    users(first: Int = 20): [User]
    connection(first: Int): UserConnection
    node(id: ID!): Node
    tags: [String]
  }
`);

function measureWith(fields: Readonly<Record<string, FieldCost>> = {}) {
  const model: CostModel = {
    listSize: 10,
    slicingArguments: ['first', 'last', 'limit'],
    fields: new Map(Object.entries(fields)),
  };
  const measure = createOperationMeasure(schema, model);
  return (text: string, variables = {}) => {
    const document = parse(text);
    const operation = getOperationAST(document);
    assert.ok(operation);
    return measure(document, operation, variables);
  };
}

const costOf = (text: string, variables = {}) => measureWith()(text, variables).cost;

describe('the cost of an operation', () => {
  it('is one for each object, none for scalars, and one at least', () => {
    assert.equal(costOf('{ me { id name } }'), 1);
    assert.equal(costOf('{ me { id } node(id: 1) { id } }'), 2);
    assert.equal(costOf('{ __typename }'), 1);
    assert.equal(costOf('{ tags }'), 1);
  });

  it('grows with the length of lists, as arguments say it, defaults included', () => {
    assert.equal(costOf('{ users(first: 50) { name posts(first: 10) { title } } }'), 50 * (1 + 10));
    assert.equal(costOf('{ users { name } }'), 20);
    assert.equal(costOf('{ me { posts { title } } }'), 1 + 10);
    assert.equal(costOf('{ me { posts(first: 3, last: 7) { title } } }'), 1 + 7, 'the largest counts');
  });

  it('takes lengths from variables, and from what they default to', () => {
    const text = 'query ($n: Int = 5) { users(first: $n) { name } }';
    const measure = measureWith();
    assert.equal(measure(text, { n: 100 }).cost, 100);
    assert.equal(measure(text, { n: 2 }).cost, 2);
    assert.equal(measure(text).cost, 5);
  });

  it('is measured anew for other variables of the same document', () => {
    const document = parse('query ($n: Int) { users(first: $n) { name } }');
    const operation = getOperationAST(document);
    assert.ok(operation);
    const model = { listSize: 10, slicingArguments: ['first'], fields: new Map() };
    const measure = createOperationMeasure(schema, model);
    assert.deepEqual(
      [1, 30].map((n) => measure(document, operation, { n }).cost),
      [1, 30],
    );
  });

  it('gives the length that a connection was asked for to the list in it', () => {
    assert.equal(costOf('{ connection(first: 30) { total edges { node { name } } } }'), 1 + 30 * 2);
  });

  it('counts what fragments select, each time they are spread', () => {
    const fragment = 'fragment F on User { posts(first: 2) { id } }';
    assert.equal(costOf(`{ a: me { ...F } b: me { ... on User { ...F } } } ${fragment}`), 2 * (1 + 2));
    assert.equal(costOf('{ node(id: 1) { ... on User { posts { id } } ... on Post { author { id } } } }'), 1 + 10 + 1);
  });

  it('is found fast and stays a number for fragments that multiply', () => {
    const levels = Array.from(
      { length: 400 },
      (_, i) =>
        `fragment F${i} on User { a: posts(first: 1000) { author { ...F${i + 1} } } b: posts { author { ...F${i + 1} } } }`,
    );
    assert.equal(costOf(`{ me { ...F0 } } ${levels.join(' ')} fragment F400 on User { id }`), 1_000_000_000);
  });

  it('is not made smaller by lengths below zero', () => {
    assert.equal(costOf('{ me { id } users(first: -100) { name } }'), 1);
  });

  it('follows weights and lengths that are configured', () => {
    const measure = measureWith({
      'User.name': { weight: 5 },
      'Query.users': { weight: 2, listSize: 3, slicingArguments: ['limit'] },
    });
    assert.equal(measure('{ users(first: 1000) { name } }').cost, 3 * (2 + 5));
    assert.equal(measureWith({ 'Query.tags': { weight: 1 } })('{ tags }').cost, 10);
  });

  it('comes with the fields that are asked for, as often as they stand there', () => {
    const { fields, rootFields } = measureWith()(
      '{ a: me { ...F } b: me { ...F id } users { id } } fragment F on User { name }',
    );
    assert.deepEqual(Object.fromEntries(fields), {
      'Query.me': 2,
      'User.name': 1,
      'User.id': 2,
      'Query.users': 1,
    });
    assert.deepEqual(Object.fromEntries(rootFields), { 'Query.me': 2, 'Query.users': 1 });
  });
});
