import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileCompression, negotiateCoding } from '../../policies/compression.ts';

const all = ['zstd', 'br', 'gzip'] as const;
const wishes: readonly (readonly [string | undefined, string | null, boolean])[] = [
  [undefined, null, false],
  ['', null, false],
  ['gzip', 'gzip', false],
  ['x-gzip', 'gzip', false],
  ['GZIP, Br', 'br', false],
  ['gzip, deflate, br, zstd', 'zstd', false],
  ['gzip;q=1.0, br;q=0.8', 'gzip', false],
  ['gzip; q=0.5, br;q=0.5', 'br', false],
  ['gzip;q=0, br;q=0', null, false],
  ['*', 'zstd', false],
  ['zstd;q=0, *;q=0.1', 'br', false],
  ['gzip, *;q=0', 'gzip', true],
  ['gzip;q=0.5, identity', null, false],
  ['identity;q=0, gzip', 'gzip', true],
  ['identity;q=0', null, true],
  ['gzip;q=nonsense, br', 'br', false],
  ['deflate', null, false],
];
for (const [field, coding, refusesIdentity] of wishes) {
  test(`of Accept-Encoding ${JSON.stringify(field)} comes ${coding}`, () => {
    assert.deepEqual(negotiateCoding(field, all), { coding, refusesIdentity });
  });
}

const json = ['content-type', 'application/json; charset=utf-8', 'content-length', '5000', 'etag', '"a"'];
const gzip = { 'accept-encoding': 'gzip' };
const choose = compileCompression({}) ?? assert.fail();

test('a compressed answer varies, has a weak ETag, and neither length nor ranges', () => {
  const choice = choose({ status: 200, headers: [...json, 'Vary', 'Origin', 'accept-ranges', 'bytes'] }, gzip);
  assert.equal(choice.coding, 'gzip');
  assert.deepEqual(choice.headers, [
    'content-type',
    'application/json; charset=utf-8',
    'etag',
    'W/"a"',
    'Vary',
    'Origin',
    'vary',
    'Accept-Encoding',
    'content-encoding',
    'gzip',
  ]);
});

test('who does not accept a coding gets the plain form, which varies all the same', () => {
  const { coding, headers } = choose({ status: 200, headers: json }, {});
  assert.equal(coding, null);
  assert.deepEqual(headers, [...json, 'vary', 'Accept-Encoding']);
});

const left: Readonly<Record<string, readonly [number, string[], object?]>> = {
  'a part': [206, json],
  'what has no body': [204, json],
  'a part by another status': [200, [...json, 'content-range', 'bytes 0-4/9']],
  'what is encoded already': [200, [...json, 'Content-Encoding', 'br']],
  'what must not be transformed': [200, [...json, 'cache-control', 'public, no-transform']],
  'what the client wants untransformed': [200, json, { 'cache-control': 'no-transform' }],
  'what a digest speaks of': [200, [...json, 'content-digest', 'sha-256=:x:']],
  'what is small': [200, ['content-type', 'text/plain', 'content-length', '1023']],
  'what is empty': [200, ['content-type', 'text/plain', 'content-length', '0'], { 'accept-encoding': 'gzip, *;q=0' }],
  'an image': [200, ['content-type', 'image/png', 'content-length', '5000']],
  'what has no type': [200, ['content-length', '5000']],
};
for (const [name, [status, headers, asked = {}]] of Object.entries(left)) {
  test(`${name} stays as it is`, () => {
    assert.deepEqual(choose({ status, headers }, { ...gzip, ...asked }), { coding: null, flushes: false, headers });
  });
}

test('who refuses the plain form gets small answers compressed too', () => {
  const headers = ['content-type', 'text/plain', 'content-length', '3'];
  assert.equal(choose({ status: 200, headers }, { 'accept-encoding': 'gzip, identity;q=0' }).coding, 'gzip');
});

test('what is compressed by its nature is not compressed again, whatever the list says', () => {
  const every = compileCompression({ types: ['image/*', 'font/*', 'application/pdf'] }) ?? assert.fail();
  const coded = (type: string) => every({ status: 200, headers: ['content-type', type] }, gzip).coding;
  assert.deepEqual(['image/jpeg', 'font/woff2', 'application/pdf', 'image/svg+xml', 'font/ttf'].map(coded), [
    null,
    null,
    null,
    'gzip',
    'gzip',
  ]);
});

test('a 304 to a weak validator of ours is weak', () => {
  const headers = ['etag', '"a"', 'date', 'x'];
  const asked = { ...gzip, 'if-none-match': 'W/"a"' };
  assert.deepEqual(choose({ status: 304, headers }, asked).headers, [
    'etag',
    'W/"a"',
    'date',
    'x',
    'vary',
    'Accept-Encoding',
  ]);
  assert.deepEqual(choose({ status: 304, headers }, { ...asked, 'if-none-match': '"a"' }).headers, headers);
});

test('nothing is compressed where nobody asked for it, or where it is switched off', () => {
  assert.equal(compileCompression(undefined), null);
  assert.equal(compileCompression({ enabled: false }), null);
});
