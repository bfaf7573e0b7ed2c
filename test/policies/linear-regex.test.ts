import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileLinearRegex, RegexMistake } from '../../policies/linear-regex.ts';

test('expressions that need not backtrack are taken, and match whole texts', () => {
  const cases: [string, string[], string[]][] = [
    ['\\d+', ['7', '42'], ['', 'a7', '7a']],
    ['/orders/(?<year>\\d{4})-(\\d+)', ['/orders/2026-7'], ['/orders/26-7']],
    ['(?:orders|items)/[a-z]+', ['orders/a', 'items/b'], ['users/a']],
    ['.*\\.json', ['a.json', '.json', 'a.json.json'], ['a.jso']],
    ['v\\d+(?:\\.\\d+)?', ['v1', 'v1.2'], ['v1.']],
    ['^[^/]+/[^/]+$', ['a/b'], ['a/b/c']],
    ['(?:beta)?-?x', ['beta-x', 'x', '-x'], ['bet-x']],
  ];
  for (const [source, fitting, others] of cases) {
    const { regex } = compileLinearRegex(source);
    for (const text of fitting) assert.match(text, regex, `${source} fits ${text}`);
    for (const text of others) assert.doesNotMatch(text, regex, `${source} does not fit ${text}`);
  }
  assert.deepEqual(compileLinearRegex('/a/(?<year>\\d+)-(\\d+)').groups, ['year', '2']);
  assert.equal(compileLinearRegex('/a/(b)').literalPrefix, '/a/');
});

test('whatever could backtrack without bounds is refused', () => {
  const refused = [
    '(a+)+',
    '(a*)*b',
    '(a|a)*',
    '(a|ab)c',
    '(.*)(.*)x',
    'a*a*b',
    '\\d+\\d+x',
    'a?a?a?aaa',
    '(a?)?b',
    '(?=a)a',
    '(?<!a)b',
    '(a)\\1',
    '\\bx',
    '(a',
    'a)',
    '[a',
    'a**',
    'a{2,1}',
    '*a',
    '.*.*',
    '(x+x+)+y',
    '\\p{L}',
    `${'a'.repeat(600)}`,
  ];
  for (const source of refused) assert.throws(() => compileLinearRegex(source), RegexMistake, source);
});

test('the worst inputs take no time to speak of', () => {
  const hostile = 'a'.repeat(16_000);
  const startedAt = performance.now();
  for (const source of ['[a-z]+!', '.*\\.json', 'a*b', '(?:a|b)[a-z]*(?:-x)?!']) {
    assert.equal(compileLinearRegex(source).regex.test(hostile), false);
  }
  // Backtracking over this would take minutes; no machine is so busy.
  assert.ok(performance.now() - startedAt < 5_000);
});
