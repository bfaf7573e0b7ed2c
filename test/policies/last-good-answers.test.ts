import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LastGoodAnswers } from '../../policies/last-good-answers.ts';

test('an answer is kept until it is too old', () => {
  let nowMs = 0;
  const answers = new LastGoodAnswers({ now: () => nowMs });
  answers.remember('question', 'old');
  nowMs = 5;
  answers.remember('question', 'new');
  nowMs = 15;
  assert.equal(answers.find('question', 10), 'new');
  nowMs = 16;
  assert.equal(answers.find('question', 10), undefined);
  assert.equal(answers.bytes, 0);
});

test('the memory is bounded: the longest unused goes first, and a giant is not kept at all', () => {
  const answers = new LastGoodAnswers({ maxBytes: 1_000 });
  const text = 'x'.repeat(39);
  for (let i = 0; i < 12; i++) answers.remember(String.fromCharCode(97 + i), text);
  answers.find('a', 1_000_000);
  answers.remember('z', text);
  assert.equal(answers.bytes, 12 * 80);
  assert.equal(answers.find('a', 1_000_000), text);
  assert.equal(answers.find('b', 1_000_000), undefined);
  answers.remember('giant', 'x'.repeat(100));
  assert.equal(answers.find('giant', 1_000_000), undefined);
});
