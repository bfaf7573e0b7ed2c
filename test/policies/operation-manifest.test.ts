import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseManifest } from '../../policies/operation-manifest.ts';

const apollo = (operations: unknown, more: object = {}) =>
  JSON.stringify({ format: 'apollo-persisted-query-manifest', version: 1, operations, ...more });

describe('a manifest of trusted documents', () => {
  it("is read in Apollo's format, and where it says so for one client alone", async () => {
    const manifest = await parseManifest(
      apollo([
        { id: 'a1', name: 'A', type: 'query', body: 'query A { a }' },
        { id: 'b1', name: 'B', type: 'query', body: 'query B { b }', clientName: 'ios' },
        { id: 'a1', name: 'A', type: 'query', body: 'query A { a2 }', clientName: 'ios' },
      ]),
    );
    assert.equal(manifest.size, 3);
    assert.equal(manifest.find('a1', undefined), 'query A { a }');
    assert.equal(manifest.find('a1', 'web'), 'query A { a }');
    assert.equal(manifest.find('a1', 'ios'), 'query A { a2 }');
    assert.equal(manifest.find('b1', 'web'), undefined);
    assert.equal(manifest.find('b1', 'ios'), 'query B { b }');
    assert.deepEqual([manifest.hasText('query A { a }'), manifest.hasText('query B { b }')], [true, false]);
  });

  it('is read as Relay writes it', async () => {
    const manifest = await parseManifest('{"one": "{ a }", "__proto__": "{ b }", "constructor": "{ c }"}');
    assert.equal(manifest.find('one', undefined), '{ a }');
    assert.equal(manifest.find('__proto__', undefined), '{ b }');
    assert.equal(manifest.find('constructor', undefined), '{ c }');
    assert.equal(manifest.find('toString', undefined), undefined);
  });

  const hostile: Readonly<Record<string, readonly [string, RegExp]>> = {
    'what was cut off': ['{"one": "{ a }"', /not JSON/],
    nothing: ['', /not JSON/],
    'an empty object': ['{}', /holds no operation/],
    'an empty list': [apollo([]), /holds no operation/],
    'a list': ['[]', /no object/],
    null: ['null', /no object/],
    'a document that is no text': ['{"one": {"a": 1}}', /"one" is no text/],
    'a document without a body': [apollo([{ id: 'a' }]), /"a" is no text/],
    'an operation that is null': [apollo([null]), /no operation/],
    'an id that is a number': [apollo([{ id: 1, body: '{ a }' }]), /an id that is no text/],
    'an empty id': ['{"": "{ a }"}', /an id that is no text/],
    'an id without end': [JSON.stringify({ ['x'.repeat(513)]: '{ a }' }), /an id that is no text/],
    'a client that is an object': [apollo([{ id: 'a', body: '{ a }', clientName: {} }]), /names a client/],
    'a format of the future': [apollo([{ id: 'a', body: '{ a }' }], { version: 2 }), /version 1/],
    'two documents of one id': [
      apollo([
        { id: 'a', body: '{ a }' },
        { id: 'a', body: '{ b }' },
      ]),
      /two documents of the id "a"/,
    ],
    'a document that does not parse': ['{"one": "{ a "}', /"one" cannot be parsed/],
    'a document that is nested without end': [
      JSON.stringify({ one: '{ a '.repeat(100_000) }),
      /"one" cannot be parsed/,
    ],
    'a document of too many tokens': [JSON.stringify({ one: `{ ${'a '.repeat(20_000)} }` }), /"one" cannot be parsed/],
    'a hash that is not that of its document': [
      JSON.stringify({ [`sha256:${'0'.repeat(64)}`]: '{ a }' }),
      /does not have that hash/,
    ],
  };
  for (const [what, [text, message]] of Object.entries(hostile)) {
    it(`is refused whole for ${what}`, async () => {
      await assert.rejects(parseManifest(text), message);
    });
  }
});
