import assert from 'node:assert/strict';
import test from 'node:test';
import { GatewayError } from '../../policies/errors.ts';
import { parseGivenSchema } from '../../schema/discovery.ts';

const refusal = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GatewayError);
  assert.equal(error.code, 'REGISTRATION_REFUSED');
  assert.match(error.reasons?.[0]?.message ?? '', pattern);
  assert.equal(error.reasons?.[0]?.code, 'INVALID_GRAPHQL');
  return true;
};

for (const [what, sdl, pattern] of [
  ['a syntax error', 'type Query {\n  a: Int\n  b }', /Expected ":".*line 3, column 5/],
  ['nothing at all', '', /Unexpected <EOF>/],
  ['100,000 opening brackets', `type Query { a: ${'['.repeat(100_000)}`, /nests deeper/],
  ['100,000 nested values', `type Query { a(x: Int = ${'{a:'.repeat(100_000)}`, /nests deeper/],
  ['a million tokens', `type Query { ${'a:A '.repeat(333_000)}`, /more than 250000 tokens/],
  ['more characters than a schema has', '#'.repeat(4_000_001), /longer than 4000000 characters/],
  ['a string without an end', `type Query { "${'x'.repeat(1_000_000)}`, /Unterminated string/],
  [
    'a type called constructor',
    'type Query { a: constructor } type constructor { a: Int }',
    /"constructor" is reserved/,
  ],
  [
    'a field called __proto__',
    'type Query { a: Int } extend type Query { __proto__: Int }',
    /"Query.__proto__" is reserved/,
  ],
  ['a type of introspection', 'type Query { a: Int } type __Type { a: Int }', /"__Type" is reserved/],
] as const) {
  test(`SDL with ${what} is refused at once`, () => {
    assert.throws(() => parseGivenSchema(sdl), refusal(pattern));
  });
}

test('nothing of a refused schema reaches the prototype of all objects', () => {
  assert.throws(() => parseGivenSchema('type Query { a: Int } type __proto__ { polluted: Int }'));
  assert.equal('polluted' in {}, false);
});
