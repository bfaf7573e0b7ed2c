import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerLifetime, readAnswerHints } from '../../policies/answer-lifetime.ts';
import { readAnswerTags, withoutTagHeaders } from '../../policies/answer-tags.ts';

const read = (...headers: string[]) => {
  const { maxAgeMs, isPrivate, isStrict } = readAnswerHints(headers, []);
  return [maxAgeMs, isPrivate, isStrict];
};

test('an answer without Cache-Control says nothing', () => {
  assert.deepEqual(read(), [Number.POSITIVE_INFINITY, false, false]);
  assert.deepEqual(read('Content-Type', 'application/json'), [Number.POSITIVE_INFINITY, false, false]);
});

test('directives are read as a shared cache does (RFC 9111 section 5.2.2)', () => {
  assert.deepEqual(read('Cache-Control', 'max-age=60'), [60_000, false, false]);
  assert.deepEqual(read('cache-control', 'max-age=60', 'Cache-Control', 'S-MaxAge=10, must-revalidate'), [
    10_000,
    false,
    true,
  ]);
  assert.deepEqual(read('Cache-Control', 'Private'), [Number.POSITIVE_INFINITY, true, false]);
  for (const refusal of ['no-store', 'No-Cache, max-age=60', 'max-age=soon', 'max-age=0'])
    assert.equal(read('Cache-Control', refusal)[0], 0, refusal);
});

test('what an answer has lived already counts', () => {
  assert.equal(read('Cache-Control', 'max-age=60', 'Age', '20')[0], 40_000);
  assert.equal(read('Cache-Control', 'max-age=60', 'Age', '90')[0], 0);
  assert.equal(read('Cache-Control', 'max-age=60', 'Age', 'old')[0], 60_000);
});

test('of several answers the strictest counts', () => {
  const lifetime = new AnswerLifetime();
  lifetime.add(readAnswerHints(['cache-control', 'max-age=60'], ['a']));
  lifetime.add(readAnswerHints(['cache-control', 'private, max-age=90'], ['b', 'a']));
  lifetime.add(readAnswerHints([], []));
  assert.deepEqual([lifetime.maxAgeMs, lifetime.isPrivate, [...lifetime.tags]], [60_000, true, ['a', 'b']]);
});

test('tags are read from both headers, and bounded', () => {
  const headers = ['Cache-Tag', 'a, b c', 'Surrogate-Key', 'd  e a', 'X-Other', '1'];
  assert.deepEqual(readAnswerTags(headers), ['a', 'b c', 'd', 'e']);
  assert.deepEqual(withoutTagHeaders(headers), ['X-Other', '1']);
  assert.deepEqual(readAnswerTags(['x', 'y']), []);
  assert.equal(readAnswerTags(['cache-tag', Array.from({ length: 500 }, (_, index) => `t${index}`).join()]).length, 64);
  assert.deepEqual(readAnswerTags(['cache-tag', `${'x'.repeat(257)},ok`]), ['ok']);
});
