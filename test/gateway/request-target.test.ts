import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRequestTarget } from '../../gateway/request-target.ts';

// RFC 9112 section 3.2; RFC 3986 section 6.2.2 says what servers may normalize, and so what must not get through.

const accepted: [target: string, path: string, query: string][] = [
  ['/', '/', ''],
  ['/a/b?x=1&y=..%2f', '/a/b', '?x=1&y=..%2f'],
  ['/a%20b/%C3%A4', '/a%20b/%C3%A4', ''],
  ['/a/.hidden/..b/c..', '/a/.hidden/..b/c..', ''],
  ['/a;v=1/b,c/@d:e', '/a;v=1/b,c/@d:e', ''],
  ['http://shop.example/a?b', '/a', '?b'],
  ['HTTP://shop.example', '/', ''],
  ['http://shop.example?b', '/', '?b'],
];
for (const [target, path, query] of accepted) {
  test(`${target} is ${path} with the query "${query}"`, () => {
    assert.deepEqual(parseRequestTarget(target), { path, query });
  });
}

const refused = [
  '*',
  'a/b',
  '/a/../b',
  '/a/..',
  '/./a',
  '/a/%2e%2e/b',
  '/a/.%2E/b',
  '/a/..;x=1/b',
  '/a//b',
  '//a',
  '/a%2fb',
  '/a%5Cb',
  '/a%00b',
  '/a\\b',
  '/a"b',
  '/a<b',
  '/a|b',
  '/ä',
  '/a\tb',
  '/a#b',
  'http://shop.example/../a',
  'ftp://shop.example/a',
];
for (const target of refused) {
  test(`${JSON.stringify(target)} is refused`, () => {
    assert.throws(() => parseRequestTarget(target), { code: 'BAD_REQUEST' });
  });
}
