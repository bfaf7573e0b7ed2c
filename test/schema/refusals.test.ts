import assert from 'node:assert/strict';
import test from 'node:test';
import { type ErrorReason, GatewayError } from '../../policies/errors.ts';
import { composeGraph } from '../../schema/composition.ts';
import { inventory, products, reviews } from './shop.ts';
import { buildService, federationLink, type SubgraphSource } from './subgraph-server.ts';

function refuse(...sources: readonly SubgraphSource[]): readonly ErrorReason[] {
  try {
    composeGraph(sources.map(buildService), async () => ({}));
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, 'REGISTRATION_REFUSED');
    assert.ok(error.reasons !== undefined && error.reasons.length > 0);
    return error.reasons;
  }
  assert.fail('it composed');
}

const accept = (...sources: readonly SubgraphSource[]): string =>
  composeGraph(sources.map(buildService), async () => ({})).publicSdl;

const without = ({ merge: _, ...source }: SubgraphSource): SubgraphSource => source;
const plain = (name: string, sdl: string): SubgraphSource => ({ name, sdl: `type Query { ${name}: Int } ${sdl}` });

test('federation errors name code, type, field, and the service when there is one', () => {
  const other = {
    ...products,
    name: 'other',
    sdl: `${federationLink} type Product @key(fields: "upc") { upc: String! name: Int }`,
  };
  const [mismatch] = refuse(products, other).filter(({ code }) => code === 'FIELD_TYPE_MISMATCH');
  assert.equal(mismatch?.type, 'Product');
  assert.equal(mismatch?.field, 'name');
  const broken = {
    name: 'broken',
    sdl: `${federationLink} type Query { a: Int } type A @key(fields: "nope") { id: ID }`,
  };
  const [reason] = refuse(broken);
  assert.equal(reason?.service, 'broken');
  assert.equal(reason?.type, 'A');
  assert.match(reason?.message ?? '', /^On type "A"/);
});

test('fields that nobody can reach are refused although another field requires a fragment', () => {
  const one = {
    name: 'one',
    sdl: `${federationLink} type Query { thing: Thing } type Thing @key(fields: "id") { id: ID! }`,
  };
  const two = { name: 'two', sdl: `${federationLink} type Thing @key(fields: "other") { other: ID! area: Int }` };
  assert.ok(refuse(one, two).every(({ code }) => code === 'SATISFIABILITY_ERROR'));
});

test('a root field that another service has is refused', () => {
  const [reason] = refuse(products, { name: 'shop', sdl: 'type Query { topProducts: Int }' });
  assert.deepEqual(
    { ...reason, message: '' },
    { message: '', service: 'shop', type: 'Query', field: 'topProducts', code: 'ROOT_FIELD_CONFLICT' },
  );
  assert.match(reason?.message ?? '', /"Query.topProducts" is a field of service "products" already/);
});

for (const [what, mine, theirs, expected] of [
  ['kind', 'enum T { A }', 'type T { a: Int }', { type: 'T', code: 'TYPE_KIND_MISMATCH' }],
  ['enum values', 'enum T { A B }', 'enum T { A }', { type: 'T', code: 'ENUM_VALUES_MISMATCH' }],
  ['input fields', 'input T { a: Int }', 'input T { a: Int! }', { type: 'T', code: 'INPUT_FIELDS_MISMATCH' }],
  ['field type', 'type T { a: Int }', 'type T { a: [Int] }', { type: 'T', field: 'a', code: 'FIELD_TYPE_MISMATCH' }],
  [
    'arguments',
    'type T { a(x: Int): Int }',
    'type T { a: Int }',
    { type: 'T', field: 'a', code: 'FIELD_ARGUMENT_MISMATCH' },
  ],
  [
    'fields without a look-up',
    'type T { a: Int b: Int }',
    'type T { a: Int }',
    { type: 'T', field: 'b', code: 'FIELD_NOT_REACHABLE' },
  ],
] as const) {
  test(`types of plain services that differ in ${what} are refused`, () => {
    const [reason] = refuse(plain('x', theirs), plain('y', mine));
    const { message, service, ...rest } = reason ?? { message: '' };
    assert.deepEqual(rest, expected);
    assert.equal(service, 'y');
    assert.match(message, /"x"/);
  });
}

test('equal value types compose, also when one promises more', () => {
  const sdl = accept(plain('x', 'type T { a: Int! b: [String!] }'), plain('y', 'type T { a: Int b: [String] }'));
  assert.match(sdl, /type T {\n {2}a: Int\n/);
});

test('a plain service that shares an entity without a look-up is refused', () => {
  const reasons = refuse(products, without(inventory));
  assert.ok(reasons.every(({ service, code }) => service === 'inventory' && code === 'FIELD_NOT_REACHABLE'));
  assert.deepEqual(reasons.map(({ field }) => field).toSorted(), ['inStock', 'warehouse']);
});

test('an entity whose key the plain service lacks is refused', () => {
  const [reason] = refuse(products, {
    name: 'offers',
    sdl: 'type Query { offer: Product } type Product { discount: Int }',
  });
  assert.equal(reason?.code, 'FIELD_NOT_REACHABLE');
});

for (const [what, merge] of [
  ['a type that is not there', { Nope: { keyField: 'upc', fieldName: 'stockByUpc' } }],
  ['a key that is not there', { Product: { keyField: 'sku', fieldName: 'stockByUpc' } }],
  ['a key that is an object', { Product: { keyField: 'warehouse', fieldName: 'stockByUpc' } }],
  ['a root field that is not there', { Product: { keyField: 'upc', fieldName: 'nope' } }],
  ['a root field of another type', { Warehouse: { keyField: 'city', fieldName: 'stockByUpc' } }],
  ['an argument that is not there', { Product: { keyField: 'upc', fieldName: 'stockByUpc', keyArg: 'ids' } }],
  ['a root field without arguments', { Product: { keyField: 'upc', fieldName: 'firstInStock' } }],
] as const) {
  test(`merge configuration with ${what} is refused`, () => {
    const [reason] = refuse(products, { ...inventory, merge });
    assert.equal(reason?.code, 'INVALID_MERGE');
    assert.equal(reason?.service, 'inventory');
  });
}

test('merge configuration of a federated service is refused', () => {
  assert.equal(
    refuse({ ...products, merge: { Product: { keyField: 'upc', fieldName: 'product' } } })[0]?.code,
    'INVALID_MERGE',
  );
});

test('all mistakes of all services are told at once', () => {
  const reasons = refuse(plain('x', 'type T { a: Nope }'), plain('y', 'type T { a: Int a: Int }'));
  assert.deepEqual(
    reasons.map(({ service, code }) => [service, code]),
    [
      ['x', 'INVALID_GRAPHQL'],
      ['y', 'INVALID_GRAPHQL'],
    ],
  );
});

test('two services of one name, and names that federation cannot tell apart, are refused', () => {
  assert.equal(refuse(products, { ...reviews, name: 'products' })[0]?.code, 'SERVICE_NAME_CONFLICT');
  const same = ['a', 'A', 'a_2'].map((name) => ({ name, sdl: `${federationLink} type Query { f${name}: Int }` }));
  assert.equal(refuse(...same)[0]?.code, 'SERVICE_NAME_CONFLICT');
});

test('odd SDL is refused, never a crash', () => {
  for (const sdl of [
    'type Query { a: Int } type __Type { a: Int }',
    'type Query { _a: [Int',
    'scalar Query',
    'type Query',
    'schema { query: Nope }',
    'type Query { a: Int } extend type Nope { b: Int }',
    'type Query implements Query { a: Int }',
    'type A { a: Int }',
    'type Query { a(x: In = {a: {}}): Int } input In { a: In! }',
    'type Query { a: Int @merge(keyField: "{{") }',
    'type Query { a: A @merge(argsExpr: "[[") } type A @key(selectionSet: "{") { id: ID }',
    'query { a }',
    `${federationLink} type Query { a: Int } type A @key(fields: "{{{") { id: ID }`,
    `${federationLink} type Query { a: A } type A @key(fields: 3) { id: ID }`,
    'extend schema @link(url: "https://specs.apollo.dev/federation/v9.9") type Query { a: Int }',
    'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: "x") type Query { a: Int }',
  ]) {
    assert.throws(
      () => composeGraph([buildService({ name: 'odd', sdl })], async () => ({})),
      (error) => error instanceof GatewayError && error.code === 'REGISTRATION_REFUSED',
      sdl,
    );
  }
});

test('reasons of the composer name service, type and field, in whatever words it says them', () => {
  for (const [sdl, expected] of [
    ['type Query { a: Nope }', ['a', undefined, undefined]],
    ['type Query { a: I } interface I { x: Int y: Int } type A implements I { x: Int }', ['a', 'I', 'y']],
    ['type Query { a: Int a: Int }', ['a', 'Query', 'a']],
    ['type Query { a: Int } type A { x: Int } type A { y: Int }', ['a', 'A', undefined]],
    ['type Query { a: A } type A @key(feelds: "id") { id: ID! }', ['a', undefined, undefined]],
    ['type Query { a: A } type A @key(fields: "id") { id: ID! x: Int @requires(fields: "y") }', ['a', 'A', 'x']],
  ] as const) {
    const [reason] = refuse({ name: 'a', sdl: federationLink + sdl });
    assert.deepEqual([reason?.service, reason?.type, reason?.field], expected, sdl);
  }
});

test('schemas that exhaust the libraries are refused in words', () => {
  const types = Array.from({ length: 4_000 }, (_, index) => `type T${index} @shareable { next: T${index + 1} }`).join(
    ' ',
  );
  const chain = (name: string) => ({
    name,
    sdl: `${federationLink} type Query { ${name}: T0 } ${types} type T4000 { ${name}: Int }`,
  });
  const [reason] = refuse(chain('a'), chain('b'));
  assert.match(
    reason?.message ?? '',
    /^The schemas are too large, or their types refer to one another in too long a chain/,
  );
});
