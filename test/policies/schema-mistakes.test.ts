import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { Settings } from 'typebox/system';
import { findClosest } from '../../policies/schema-expectation.ts';
import { buildReasons, findSchemaMistakes } from '../../policies/schema-mistakes.ts';

const closed = { additionalProperties: false };
const Entry = Type.Object({ key: Type.String(), many: Type.Optional(Type.Boolean()) }, closed);

/** The mistakes, as `pointer: message`. */
function mistakesOf(schema: Type.TSchema, value: unknown): string[] {
  const reasons = buildReasons(findSchemaMistakes(Compile(schema), value));
  return reasons.map(({ path, message }) => `${path}: ${message}`);
}

describe('findSchemaMistakes', () => {
  it('finds nothing wrong with what fits', () => {
    assert.deepEqual(mistakesOf(Entry, { key: 'a' }), []);
  });

  it('tells all mistakes at once, up to a hundred, and leaves the setting of the library as it was', () => {
    const before = Settings.Get().maxErrors;
    const schema = Type.Array(Type.Integer());
    assert.equal(mistakesOf(schema, Array(40).fill('x')).length, 40);
    assert.equal(mistakesOf(schema, Array(5_000).fill('x')).length, 100);
    const keys = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`k${index}`, 1]));
    assert.equal(mistakesOf(Entry, { key: 'a', ...keys }).length, 100);
    assert.equal(Settings.Get().maxErrors, before);
  });

  it('says at the object which key is missing, and at a wrong key which one was meant', () => {
    assert.deepEqual(
      mistakesOf(Type.Object({ first: Entry }, closed), { first: { mny: true } }),
      ['/first/mny: unknown key; did you mean `many`?', '/first: the key `key` is missing; expected text'].toReversed(),
    );
    assert.deepEqual(mistakesOf(Entry, { key: 'a', colour: 1 }), ['/colour: unknown key; known here: `key`, `many`']);
  });

  it('blames the branch of a union that has the kind of the value, else all of them in one sentence', () => {
    const schema = Type.Record(Type.String(), Type.Union([Entry, Type.Array(Entry), Type.Null()]));
    assert.deepEqual(mistakesOf(schema, { a: { key: 1 }, b: [{ key: 'x' }, {}], c: 5, d: null }), [
      '/a/key: expected text, got the number 1',
      '/b/1: the key `key` is missing; expected text',
      '/c: expected an object, or a list, or nothing, got the number 5',
    ]);
  });

  it('keeps the unions of neighbours apart whose names begin alike', () => {
    const schema = Type.Record(Type.String(), Type.Union([Entry, Type.Array(Entry)]));
    assert.deepEqual(mistakesOf(schema, { User: { key: 1 }, UserGroup: [{ key: 2 }] }), [
      '/User/key: expected text, got the number 1',
      '/UserGroup/0/key: expected text, got the number 2',
    ]);
    const list = Array.from({ length: 11 }, (_, index) => (index === 1 ? { key: 1 } : [{ key: 2 }]));
    assert.equal(mistakesOf(Type.Array(Type.Union([Entry, Type.Array(Entry)])), list).length, 11);
  });

  it('says of words which there are', () => {
    const schema = Type.Object({ role: Type.Union([Type.Literal('admin'), Type.Literal('viewer')]) });
    assert.deepEqual(mistakesOf(schema, { role: 'amdin' }), ['/role: expected one of "admin", "viewer", got "amdin"']);
    assert.deepEqual(mistakesOf(Type.Literal('a'), 'b'), [': expected "a", got "b"']);
  });

  it('says the bounds of numbers, lists and texts', () => {
    assert.deepEqual(mistakesOf(Type.Integer({ minimum: 1, maximum: 9 }), 10), [
      ': expected a whole number from 1 to 9, got the number 10',
    ]);
    assert.deepEqual(mistakesOf(Type.Array(Type.Number(), { minItems: 1, maxItems: 2 }), [1, 2, 3]), [
      ': expected a list of 1 to 2, got a list of 3',
    ]);
    assert.deepEqual(mistakesOf(Type.String({ maxLength: 3 }), 'abcd'), [': expected at most 3 characters, got more']);
    assert.deepEqual(mistakesOf(Type.String({ minLength: 1 }), ''), [': expected text that is not empty, got ""']);
  });

  it('escapes the keys of a pointer (RFC 6901 section 3), and keeps those that look like numbers', () => {
    const schema = Type.Object({ '007': Type.Optional(Type.Null()) }, closed);
    assert.match(mistakesOf(schema, { 'a/b~c': 1 })[0] ?? '', /^\/a~1b~0c: unknown key/);
    assert.deepEqual(mistakesOf(schema, { '007': 1 }), ['/007: expected nothing, got the number 1']);
  });

  it('shows only the beginning of a long value or key, and takes no time over it', () => {
    const long = 'x'.repeat(1_000_000);
    for (const mistake of [mistakesOf(Type.Integer(), long), mistakesOf(Entry, { key: 'a', [long]: 1 })].flat()) {
      assert.ok(mistake.length < 200, `${mistake.length}`);
    }
  });

  it('never repeats a credential', () => {
    const url = Type.String({ pattern: '^https?://[^/?#@\\s]+/?$' });
    assert.deepEqual(mistakesOf(url, 'http://user:p@ss/word@a'), [
      ': expected an origin such as http://10.0.0.5:8080: no path, no credentials, got "http://...@a"',
    ]);
    assert.doesNotMatch(mistakesOf(Type.String({ pattern: '^[0-9a-f]{64}$' }), 'my-token').join(), /my-token/);
  });

  it('refuses what is no object', () => {
    for (const value of [null, undefined, 5, 'x', []]) {
      assert.match(mistakesOf(Entry, value).join(), /^: expected an object, got [^,]+$/);
    }
  });
});

describe('findClosest', () => {
  it('guesses a word only when it is close', () => {
    assert.equal(findClosest('instnces', ['instances', 'interval']), 'instances');
    assert.equal(findClosest('ports', ['host', 'store']), undefined);
  });
});
