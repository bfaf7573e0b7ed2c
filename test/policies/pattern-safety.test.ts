import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgePattern } from '../../policies/pattern-safety.ts';

test('usual patterns are taken', () => {
  const patterns = [
    '^[a-z]+$',
    '^[A-Z]{2}-\\d+$',
    '^[a-z0-9]+(-[a-z0-9]+)*$',
    '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$',
    '^(\\d{1,3}\\.){3}\\d{1,3}$',
    '^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$',
    '^(?:red|green|blue)$',
    '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}(:\\d{2})?Z)?$',
    '^\\+?[1-9]\\d{1,14}$',
    '^([a-z]+\\.)+[a-z]{2,}$',
    '^\\p{L}+$',
    'x',
    '',
  ];
  for (const pattern of patterns) assert.equal(judgePattern(pattern).kind, 'safe', pattern);
});

test('patterns that can divide a text in many ways are refused', () => {
  const patterns = [
    '(a+)+$',
    '^(a*)*$',
    '^(a|a)*$',
    '^(a|ab|b)*$',
    '^([a-z]+)*$',
    '^(\\w+\\s?)*$',
    '^((a+b?)+)+$',
    '^(a?){30}a{30}$',
    '^(.*a){20}$',
    '(a)\\1',
    '(?=a+)+b',
    '(?<n>a)\\k<n>',
    '^(|a)+$',
    '(((a{1,9}){1,9}){1,9}){1,9}b',
    '[',
  ];
  for (const pattern of patterns) assert.equal(judgePattern(pattern).kind, 'refused', pattern);
});

test('the longer a match can take, the shorter is the text', () => {
  const length = (pattern: string) => {
    const verdict = judgePattern(pattern);
    return verdict.kind === 'safe' ? verdict.maxLength : 0;
  };
  assert.ok(length('^a+$') >= 1_000_000);
  assert.equal(length('^.*a.*b$'), 3_162);
  assert.equal(length('.*a.*b'), 215);
  const worst: [string, string][] = [
    ['^.*a.*b$', 'a'],
    ['.*a.*b', 'a'],
    ['^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$', 'a@.'],
    ['^[a-z0-9]+(-[a-z0-9]+)*$', 'a-'],
    ['^([a-z]+\\.)+[a-z]{2,}$', 'a.'],
  ];
  for (const [pattern, part] of worst) {
    const text = `${part.repeat(length(pattern)).slice(0, length(pattern) - 1)}!`;
    const began = process.cpuUsage();
    new RegExp(pattern, 'u').test(text);
    assert.ok(process.cpuUsage(began).user < 2_000_000, pattern);
  }
});
