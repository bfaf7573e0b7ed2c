import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSchemaValidator, defaultMaxSteps, type JsonSchema } from '../../policies/json-schema.ts';

const twice = [{ $ref: '#' }, { $ref: '#' }];
const doubling: Readonly<Record<string, JsonSchema>> = {
  anyOf: { properties: { a: { anyOf: twice }, b: { type: 'number' } } },
  oneOf: { properties: { a: { oneOf: twice }, b: { type: 'number' } } },
  allOf: { properties: { a: { allOf: twice }, b: { type: 'number' } } },
  'a reference and `not`': { properties: { a: { $ref: '#', not: { $ref: '#' } } } },
  '`if` and `else`': { properties: { a: { if: { $ref: '#' }, else: { $ref: '#' } }, b: { type: 'number' } } },
  items: { items: { anyOf: twice }, type: ['array', 'object'], additionalProperties: { anyOf: twice } },
};

function nest(depth: number, inner: unknown): unknown {
  return depth === 0 ? inner : { a: nest(depth - 1, inner) };
}

for (const [name, schema] of Object.entries(doubling)) {
  test(`a schema that comes back to itself twice at one place ends after a number of steps (${name})`, () => {
    const { validate } = createSchemaValidator(schema);
    for (const inner of [{ b: 'text' }, { b: 1 }]) {
      const started = process.cpuUsage();
      const found = validate(nest(60, inner));
      // Without an end these take 2 to the power of 60 steps; the bound is for a machine that is very slow.
      assert.ok(process.cpuUsage(started).user < 20_000_000);
      assert.ok(found.length <= 1, JSON.stringify(found));
    }
  });
}

test('the steps of one validation are bounded, and the next has as many again', () => {
  const { validate } = createSchemaValidator({ items: { type: 'number' } }, 10);
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(validate([1, 2, 3, 4, 5]), []);
    assert.deepEqual(validate(Array.from({ length: 20 }, () => 1)), [
      { pointer: '', message: 'takes too many steps to validate' },
    ]);
  }
  assert.deepEqual(createSchemaValidator({ items: {} }).validate(Array(defaultMaxSteps - 10).fill(1)), []);
});

test('references count beside other keywords, in circles, and by pointers with escapes', () => {
  const { validate } = createSchemaValidator({
    $defs: { 'a/b': { type: 'object', required: ['x'] }, c: { $ref: '#/$defs/a~1b' }, no: false },
    $ref: '#/$defs/c',
    properties: { self: { $ref: '#', required: ['y'] }, none: { $ref: '#/$defs/no' } },
  });
  assert.deepEqual(validate({ x: 1, self: { x: 1, y: 1 } }), []);
  assert.deepEqual(validate({ self: { y: 1 } }), [
    { pointer: '/self/x', message: 'is missing' },
    { pointer: '/x', message: 'is missing' },
  ]);
  assert.deepEqual(validate({ x: 1, none: 1 }), [{ pointer: '/none', message: 'is not allowed here' }]);
});

test('what references lead to counts for properties that are not evaluated', () => {
  const { validate } = createSchemaValidator({
    $defs: { base: { properties: { a: {} } } },
    $ref: '#/$defs/base',
    properties: { b: {} },
    unevaluatedProperties: false,
  });
  assert.deepEqual(validate({ a: 1, b: 1 }), []);
  assert.equal(validate({ a: 1, c: 1 }).length, 1);
});

test('formats that nobody knows ask for nothing', () => {
  const { validate } = createSchemaValidator({ items: { type: ['integer', 'string'], format: 'int32' } });
  assert.deepEqual(validate([1, 'a']), []);
  assert.deepEqual(createSchemaValidator({ format: 'binary' }).validate('a'), []);
});
