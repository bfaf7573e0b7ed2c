import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findServiceHeaderMistakes, mergeCacheControl, type ServiceHeader } from '../../policies/service-headers.ts';

describe('headers of services', () => {
  const merged: [expected: string, ...values: string[]][] = [
    ['public, max-age=30', 'public, max-age=60', 'public, max-age=30'],
    ['private, max-age=30', 'public, max-age=60, s-maxage=600', 'private, max-age=30'],
    ['no-store', 'public, max-age=60', 'No-Store'],
    ['no-cache, max-age=0', 'max-age=60', 'no-cache'],
    ['max-age=60, s-maxage=60', 'max-age=60', 'max-age=600, s-maxage=600'],
    ['must-revalidate, max-age=5', 'max-age=5, must-revalidate', 'public, max-age=7, stale-if-error=60'],
    ['max-age=0', 'max-age=x', 'max-age=10'],
  ];
  for (const [expected, ...values] of merged) {
    test(`the strictest of ${values.join(' and ')} is ${expected}`, () => {
      assert.equal(mergeCacheControl(values), expected);
      const times = (text: string) => text.split(', ').toSorted();
      assert.deepEqual(times(mergeCacheControl(values.toReversed())), times(expected));
    });
  }

  const mistakes: [ServiceHeader, RegExp][] = [
    [{ name: 'x-a', merge: 'strictest' }, /only of cache-control/],
    [{ name: 'Content-Type' }, /about one message only/],
    [{ name: 'content-length' }, /about one message only/],
    [{ name: 'access-control-allow-origin' }, /graphql\.cors/],
    [{ name: 'set-cookie', merge: 'last' }, /always appended/],
  ];
  for (const [entry, expected] of mistakes) {
    test(`${entry.name} with ${entry.merge ?? 'no merge'} is a mistake`, () => {
      assert.match(findServiceHeaderMistakes([entry])[0]?.message ?? '', expected);
    });
  }
});
