import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSchema, parse, print } from 'graphql';
import { guardAliases, listFieldNames, unguard } from '../../schema/alias-guard.ts';

const schema = buildSchema('type Query { book: Book } type Book { isbn: ID title: String }');
const names = listFieldNames(schema);
const guarded = (query: string) =>
  print(guardAliases(parse(query), names))
    .replaceAll(/\s+/g, ' ')
    .trim();

test('an alias that is the name of another field is given another name', () => {
  assert.equal(guarded('{ book { isbn: title } }'), '{ book { _aliased_isbn: title } }');
  assert.equal(guarded('{ book { __typename: title } }'), '{ book { _aliased___typename: title } }');
  assert.equal(
    guarded('{ b: book { ...F } } fragment F on Book { title: isbn }'),
    '{ b: book { ...F } } fragment F on Book { _aliased_title: isbn }',
  );
});

test('other aliases stay, and a document without any is the same object', () => {
  assert.equal(guarded('{ b: book { x: title isbn: isbn } }'), '{ b: book { x: title isbn: isbn } }');
  const document = parse('{ book { x: title } }');
  assert.equal(guardAliases(document, names), document);
});

test('what a client calls like a guarded name comes back as the client called it', () => {
  const [, key = ''] = /(_\w+): title/.exec(guarded('{ book { _aliased_isbn: title } }')) ?? [];
  assert.equal(unguard(key), '_aliased_isbn');
  assert.equal(unguard('isbn'), 'isbn');
});
