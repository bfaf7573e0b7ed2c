import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { findDifferences } from '../../gateway/answer-difference.ts';

const answerOf = (body: object) => ({
  status: 200,
  headers: new Map([['content-type', 'application/json']]),
  body: Buffer.from(JSON.stringify(body)),
});
const options = { headers: [], ignore: [], showValues: false };

test('hashes of values tell that they differ, and cannot be looked up or compared with those of another process', () => {
  const [one, two] = [answerOf({ pin: '1234', again: '1234' }), answerOf({ pin: '4321', again: '4321' })];
  const [pin, again] = findDifferences(one, two, { ...options, key: randomBytes(32) });
  assert.equal(pin?.primary, again?.primary);
  assert.notEqual(pin?.primary, pin?.mirror);
  const plain = createHash('sha256').update('1234').digest('hex').slice(0, 8);
  assert.notEqual(pin?.primary, `string ${plain}`);
  const [other] = findDifferences(one, two, { ...options, key: randomBytes(32) });
  assert.notEqual(other?.primary, pin?.primary);
});
