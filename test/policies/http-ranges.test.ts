import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseRange } from '../../policies/http-ranges.ts';

const date = 'Mon, 01 Jan 2024 00:00:10 GMT';
const modified = 'Mon, 01 Jan 2024 00:00:00 GMT';
const choose = (range: string, size = 10) => chooseRange({ range }, {}, size);

test('a single range of bytes is a part, cut at the end of what there is (RFC 9110 section 14.1.2)', () => {
  const parts: Record<string, [number, number]> = {
    'bytes=0-0': [0, 0],
    'bytes=2-5': [2, 5],
    'Bytes=9-': [9, 9],
    'bytes=5-99': [5, 9],
    'bytes=-3': [7, 9],
    'bytes=-99': [0, 9],
    'bytes=0-99999999999999999999999': [0, 9],
  };
  for (const [range, [first, last]] of Object.entries(parts))
    assert.deepEqual(choose(range), { kind: 'part', first, last }, range);
});

test('what begins behind the end cannot be satisfied', () => {
  for (const range of ['bytes=10-', 'bytes=10-12', 'bytes=-0'])
    assert.equal(choose(range).kind, 'unsatisfiable', range);
  assert.equal(choose('bytes=0-', 0).kind, 'unsatisfiable');
  assert.equal(choose('bytes=-1', 0).kind, 'unsatisfiable');
});

test('several ranges, other units and what cannot be read get the whole', () => {
  for (const range of [
    'bytes=0-1,3-4',
    'pages=1-2',
    'bytes=',
    'bytes=-',
    'bytes=5-2',
    'bytes=a-b',
    'bytes = 0-1',
    '',
    'bytes=1-2x',
  ])
    assert.equal(choose(range).kind, 'whole', range);
  assert.equal(chooseRange({}, {}, 10).kind, 'whole');
  assert.equal(chooseRange({ range: 'bytes=0-1' }, { 'accept-ranges': 'none' }, 10).kind, 'whole');
});

test('If-Range takes strong validators only (RFC 9110 section 13.1.5)', () => {
  const answer = { etag: '"a"', 'last-modified': modified, date };
  const ask = (condition: string, known: object = answer) =>
    chooseRange({ range: 'bytes=0-1', 'if-range': condition }, known as typeof answer, 10).kind;
  assert.equal(ask('"a"'), 'part');
  assert.equal(ask(modified), 'part');
  for (const condition of ['"b"', 'W/"a"', date, 'nonsense']) assert.equal(ask(condition), 'whole', condition);
  assert.equal(ask('W/"a"', { ...answer, etag: 'W/"a"' }), 'whole');
  assert.equal(ask(modified, { ...answer, date: modified }), 'whole');
  assert.equal(ask(modified, { 'last-modified': modified }), 'whole');
});
